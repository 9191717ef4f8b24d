// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StandardTestToken, TestToken} from "./TestToken.sol";

/// @title Keeps 1 % of each transfer: the recipient is short while the transfer succeeds
contract FeeToken is StandardTestToken {
    address public constant COLLECTOR = address(0xFEE);

    constructor() StandardTestToken() TestToken("Fee Token", "FEE", 6) {}

    function _move(address from, address to, uint256 amount) internal override {
        uint256 fee = amount / 100;
        super._move(from, to, amount - fee);
        super._move(from, COLLECTOR, fee);
    }
}

/// @title The balance of everybody grows or shrinks without a transfer
contract RebasingToken is StandardTestToken {
    uint256 public numerator = 1;
    uint256 public denominator = 1;

    constructor() StandardTestToken() TestToken("Rebasing Token", "REB", 18) {}

    function rebase(uint256 numerator_, uint256 denominator_) external {
        (numerator, denominator) = (numerator_, denominator_);
    }

    function balanceOf(address account) public view override returns (uint256) {
        return (_balances[account] * numerator) / denominator;
    }

    function _move(address from, address to, uint256 amount) internal override {
        uint256 shares = (amount * denominator) / numerator;
        require(_balances[from] >= shares, "ERC20: transfer amount exceeds balance");
        _balances[from] -= shares;
        _balances[to] += shares;
        emit Transfer(from, to, amount);
    }
}

/// @title Treats chosen recipients badly, each in another way
contract HostileToken is StandardTestToken {
    enum Conduct {
        Pay,
        ReturnFalse,
        ReturnShort,
        ReturnTwo,
        ReturnEmpty,
        Revert,
        RevertLong,
        BurnAllGas,
        Invalid,
        CallBack,
        /// Takes 200,000 gas more than usual: pays at a full share of gas, fails at a smaller one.
        NeedGas
    }

    mapping(address recipient => Conduct conduct) public conductOf;
    bytes public callBackData;
    address public callBackTarget;
    bool public callBackSucceeded;

    constructor() StandardTestToken() TestToken("Hostile Token", "BAD", 6) {}

    function setConduct(address recipient, Conduct conduct) external {
        conductOf[recipient] = conduct;
    }

    function setCallBack(address target, bytes calldata data) external {
        (callBackTarget, callBackData) = (target, data);
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        Conduct conduct = conductOf[to];
        if (conduct == Conduct.ReturnFalse) return false;
        if (conduct == Conduct.Revert) revert("no money for you");
        if (conduct == Conduct.BurnAllGas) while (true) {}
        if (conduct == Conduct.NeedGas) {
            uint256 stop = gasleft() - 200_000;
            while (gasleft() > stop) {}
        }
        if (conduct == Conduct.CallBack) (callBackSucceeded,) = callBackTarget.call(callBackData);
        assembly ("memory-safe") {
            mstore(0, 2)
            switch conduct
            case 2 { return(0, 31) }
            case 3 { return(0, 32) }
            case 6 { revert(0, 100000) }
            case 8 { invalid() }
        }
        _move(msg.sender, to, amount);
        if (conduct == Conduct.ReturnEmpty) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return true;
    }
}
