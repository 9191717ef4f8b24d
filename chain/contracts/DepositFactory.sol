// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Deposit addresses that have no key (EIP-1014)
/// @notice An address is that of a minimal proxy (EIP-1167) to one forwarder, created by this
/// contract with the derivation index as the salt. Money may arrive years before anything is there:
/// nothing else can ever be created at the address, and what is created can only forward to the
/// forwarder's collector. So anyone may create any of them, at any time; it changes nothing.
///
/// It holds no money, has no owner, no storage, and calls nobody.
contract DepositFactory {
    error IndexTooHigh();
    error NotCreated(uint256 index);

    /// The forwarder's word for "done", see `forward`.
    bytes32 private constant FORWARDED = keccak256("bursar.forwarder.1.forwarded");

    /// Four bytes an index, and zero for none: what fits an entry's 12 bytes of amount is three.
    uint256 private constant LIMIT = type(uint32).max;

    address public immutable forwarder;

    constructor(address onlyForwarder) {
        forwarder = onlyForwarder;
    }

    /// @notice The deposit address of an index, whether or not anything is there yet.
    function addressOf(uint256 index) external view returns (address) {
        require(index < LIMIT, IndexTooHigh());
        return _addressOf(index, keccak256(_creationCode()));
    }

    /// @notice Creates these deposit addresses, all or none; those that are there are passed over.
    /// The collector's own way is `forward`.
    function create(uint256[] calldata indexes) external {
        bytes memory code = _creationCode();
        bytes32 codeHash = keccak256(code);
        for (uint256 i = 0; i < indexes.length; ++i) {
            require(indexes[i] < LIMIT, IndexTooHigh());
            // Or a gas limit that is enough for some would look like enough for all.
            require(_ensure(indexes[i], code, codeHash), NotCreated(indexes[i]));
        }
    }

    /// @notice The same in the collector's language, so that one transaction creates and sweeps:
    /// an entry of this contract, put before those of the addresses that it creates. Moves nothing.
    /// @param indexes up to three, each plus one, 32 bits each from the lowest; zero is none.
    /// @return FORWARDED once code is at all of them; else zero, which the collector counts as a
    /// failure of this entry. What was created stays: others may be swept.
    function forward(address, address, uint256 indexes) external returns (bytes32) {
        bytes memory code = _creationCode();
        bytes32 codeHash = keccak256(code);
        bool all = true;
        for (; indexes != 0; indexes >>= 32) {
            uint256 next = indexes & LIMIT;
            if (next != 0 && !_ensure(next - 1, code, codeHash)) all = false;
        }
        return all ? FORWARDED : bytes32(0);
    }

    /// Looks first: CREATE2 where something is burns all the gas that it was given, so a stranger
    /// who creates an address just before us could make our transaction fail.
    function _ensure(uint256 index, bytes memory code, bytes32 codeHash) private returns (bool) {
        if (_addressOf(index, codeHash).code.length != 0) return true;
        address made;
        assembly ("memory-safe") {
            made := create2(0, add(code, 32), mload(code), index)
        }
        return made != address(0);
    }

    function _addressOf(uint256 index, bytes32 codeHash) private view returns (address) {
        return address(
            uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), index, codeHash))))
        );
    }

    /// EIP-1167: ten bytes that return the 45 that follow, which delegate every call.
    function _creationCode() private view returns (bytes memory) {
        return abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73",
            forwarder,
            hex"5af43d82803e903d91602b57fd5bf3"
        );
    }
}
