// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Lists of (address, amount) in one 32-byte word each
/// @notice An entry is a 20-byte address followed by a 12-byte amount. 96 bits hold 79,228,162,514
/// whole units of an 18-decimal token; the builder of a list refuses more. Compared with two ABI
/// words this saves 128 gas of calldata an entry; a narrower amount would save 4 gas a byte more
/// and make the limit a matter for daily thought.
abstract contract PackedEntries {
    /// @notice The list is empty or not a whole number of words: cut off on the way, or built wrongly.
    error MalformedEntries();
    /// @notice An entry failed with so little gas left that gas may be why; nothing was done.
    error NotEnoughGas();
    /// @notice There is no contract at the token's address: every call would "succeed" and move nothing.
    error NoTokenCode(address token);
    /// @notice The answer of a simulation; see `simulate`. Nothing was done.
    error Simulated(Failure[] failures);

    struct Failure {
        uint256 index;
        bytes reason;
    }

    /// Gas that each entry's call gets at most. More would let one recipient's token hook burn the
    /// gas of all others. Registered stablecoins need 30,000 to 70,000; 250,000 leaves room for
    /// proxies and rebasing tokens.
    uint256 internal constant CALL_GAS = 250_000;

    /// A call gets less than CALL_GAS when less than 64/63 of it is left (EIP-150): then "it failed"
    /// may mean "we ran low", and a submitter could fail honest recipients by a small gas limit. So
    /// a failure counts only if this much is left *after* it, hence was left before it: the call had
    /// its full share. Otherwise the whole transaction reverts and nothing happened. Successes need
    /// no such check, which is why it costs nothing where nothing fails.
    uint256 internal constant GAS_AFTER_FAILURE = (CALL_GAS * 64) / 63 + 20_000;

    /// Revert data kept of a failed call: the selector and the first words of an Error(string).
    /// Bounded, or a hostile token could make us pay for copying megabytes.
    uint256 internal constant REASON_LIMIT = 196;

    function _count(bytes calldata entries) internal pure returns (uint256) {
        require(entries.length != 0 && entries.length % 32 == 0, MalformedEntries());
        return entries.length / 32;
    }

    /// The caller has checked `index` against `_count`.
    function _entry(bytes calldata entries, uint256 index)
        internal
        pure
        returns (address account, uint256 amount)
    {
        assembly ("memory-safe") {
            let word := calldataload(add(entries.offset, shl(5, index)))
            account := shr(96, word)
            amount := and(word, 0xffffffffffffffffffffffff)
        }
    }

    function _requireGasAfterFailure() internal view {
        require(gasleft() >= GAS_AFTER_FAILURE, NotEnoughGas());
    }

    function _requireCode(address token) internal view {
        if (token.code.length == 0) revert NoTokenCode(token);
    }

    /// What the last call answered, cut to REASON_LIMIT. Call it before any other call.
    function _reason() internal pure returns (bytes memory reason) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, REASON_LIMIT) { size := REASON_LIMIT }
            reason := mload(0x40)
            mstore(0x40, add(reason, and(add(size, 0x3f), not(0x1f))))
            mstore(reason, size)
            returndatacopy(add(reason, 0x20), 0, size)
        }
    }
}
