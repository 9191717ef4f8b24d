// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The code that deposit addresses delegate to (EIP-7702)
/// @notice It can do one thing: on the word of one collector, send an explicit amount where that
/// collector says, which is the collector's own sink. So a leaked file of authorizations gives a
/// thief nothing, and one that stays valid for years needs no trust in whoever stores it.
///
/// No storage: accounts keep theirs when they delegate elsewhere. No initializer: a stranger could
/// be first to call it. No EIP-1271: nobody but the key can sign for the account. No approval: an
/// allowance would outlive the delegation.
contract Forwarder {
    error NotCollector();
    error TransferRefused();

    /// Answered when the money has moved. An account that does not delegate accepts every call and
    /// answers nothing; without this word a sweep of it would look like a success.
    bytes32 public constant FORWARDED = keccak256("bursar.forwarder.1.forwarded");

    address public immutable collector;

    constructor(address onlyCollector) {
        collector = onlyCollector;
    }

    /// Payers may send native coin to an invoice's address by mistake; it must stay possible.
    receive() external payable {}

    /// @notice Sends `amount` of `token` (native coin where zero) from this account to `to`.
    /// @dev `to` comes with the call, not from `collector.sink()`: the collector passes nothing
    /// else, and asking it would cost some 400 gas a sweep. That the token has code is the
    /// collector's check, once for all accounts.
    function forward(address token, address to, uint256 amount) external returns (bytes32) {
        require(msg.sender == collector, NotCollector());
        bytes4 refused = TransferRefused.selector;
        assembly ("memory-safe") {
            let done := 0
            switch token
            case 0 { done := call(gas(), to, amount, 0, 0, 0, 0) }
            default {
                let frame := mload(0x40)
                mstore(frame, shl(224, 0xa9059cbb)) // transfer(address,uint256)
                mstore(add(frame, 4), to)
                mstore(add(frame, 36), amount)
                done := call(gas(), token, 0, frame, 68, 0, 32)
                if and(done, gt(returndatasize(), 0)) {
                    if iszero(and(gt(returndatasize(), 31), eq(mload(0), 1))) {
                        mstore(0, refused)
                        revert(0, 4)
                    }
                }
            }
            if iszero(done) {
                let frame := mload(0x40)
                returndatacopy(frame, 0, returndatasize())
                revert(frame, returndatasize())
            }
        }
        return FORWARDED;
    }
}
