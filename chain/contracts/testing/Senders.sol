// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface IMovable {
    function transfer(address to, uint256 amount) external;
    function transferFrom(address from, address to, uint256 amount) external;
}

/// @title Pays many recipients in one transaction, like an exchange's hot wallet
contract Disperser {
    receive() external payable {}

    function disperse(IMovable token, address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; ++i) {
            token.transfer(to[i], amounts[i]);
        }
    }
}

/// @title Emits logs that look like transfers, and pokes real tokens for zero
contract Poisoner {
    string public constant symbol = "USDC";
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 value);

    /// A well-formed log of a contract that is not the token.
    function fake(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    /// Zero-value transferFrom needs no allowance: a log of the real token that moved nothing.
    function poison(IMovable token, address from, address[] calldata to) external {
        for (uint256 i = 0; i < to.length; ++i) {
            token.transferFrom(from, to[i], 0);
        }
    }

    /// Transfer logs of the wrong shape: 0 = no indexed topics, 1 = one missing, 2 = no data,
    /// 3 = 31 bytes, 4 = 33 bytes, 5 = value indexed (ERC-721), 6 = dirty address topic.
    function malformed(uint256 shape, address from, address to, uint256 value) external {
        bytes32 topic = Transfer.selector;
        assembly ("memory-safe") {
            let frame := mload(0x40)
            mstore(frame, value)
            mstore(add(frame, 32), 0)
            switch shape
            case 0 { log1(frame, 32, topic) }
            case 1 { log2(frame, 32, topic, from) }
            case 2 { log3(frame, 0, topic, from, to) }
            case 3 { log3(frame, 31, topic, from, to) }
            case 4 { log3(frame, 33, topic, from, to) }
            case 5 { log4(frame, 0, topic, from, to, value) }
            case 6 { log3(frame, 32, topic, from, or(to, shl(160, 1))) }
        }
    }
}
