// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PackedEntries} from "./PackedEntries.sol";
import {TwoStepOwner} from "./TwoStepOwner.sol";

/// @title Holds the merchants' tokens and pays them out in signed batches
/// @notice Three keys, three powers. The cold owner withdraws, rotates the signer and raises the
/// epoch. The signer decides what a batch pays. Whoever submits it pays for gas and decides nothing.
///
/// What it guarantees: a batch id is executed at most once per epoch, whoever submits it and however
/// often; only what the signer signed, for this chain, this contract, this epoch and this token is
/// paid; one recipient that cannot be paid never holds up the others.
///
/// What it does not: that every entry was paid (see PayoutFailed), nor that a recipient got the full
/// amount (a token may take a fee). The token's own Transfer logs say what moved. An id is consumed
/// even if every entry fails (a paused token, too little balance): entries that failed belong in a
/// new batch with a new id, once this one is final.
contract Treasury is TwoStepOwner, PackedEntries {
    error BadSignature();
    error WrongEpoch(uint64 current);
    error AlreadyExecuted(uint64 epoch, uint256 id);
    error WithdrawalFailed(bytes reason);

    /// The content hash is kept in this log only. A storage slot for it would cost 22,100 gas a
    /// batch (2 % at 100 payouts); a log is found as surely by its two indexed fields.
    event BatchExecuted(
        uint64 indexed epoch,
        uint256 indexed id,
        address indexed token,
        bytes32 contentHash,
        uint256 failedCount
    );
    event PayoutFailed(
        uint64 indexed epoch,
        uint256 indexed id,
        uint256 index,
        address recipient,
        uint256 amount,
        bytes reason
    );
    event SignerChanged(address indexed formerSigner, address indexed signer);
    event EpochRaised(uint64 epoch);
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant NAME_HASH = keccak256("Bursar Treasury");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant BATCH_TYPEHASH =
        keccak256("Batch(uint64 epoch,uint256 id,address token,bytes32 contentHash)");

    /// Half the order of secp256k1. The other half holds a second valid signature of every batch
    /// (EIP-2); it could do no harm here, ids being one-use, but one batch has one signature.
    uint256 private constant HALF_ORDER =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// Signs the batches; zero stops all payouts. One slot with the epoch: read together.
    address public signer;
    /// Part of every signature. Raising it kills every batch that was signed and never executed:
    /// what the owner does after restoring a backup, or when the signer's key may have leaked.
    uint64 public epoch;

    /// 256 ids a word, so that consecutive ids share a slot: 5,000 gas a batch instead of 22,100.
    mapping(uint64 epoch => mapping(uint256 word => uint256 bits)) private _executed;

    /// Arguments are the same on all chains, or CREATE2 would give each chain another address.
    constructor(address firstOwner, address firstSigner) TwoStepOwner(firstOwner) {
        signer = firstSigner;
        emit SignerChanged(address(0), firstSigner);
    }

    /// Native coin arrives from swept deposit addresses.
    receive() external payable {}

    /// @notice Pays every entry of a signed batch. Anyone may submit it.
    /// @param packed entries, 32 bytes each; see PackedEntries.
    /// @param signature r, s and v (27 or 28) of the EIP-712 digest, 65 bytes.
    /// @return failedCount entries that were not paid, each with a PayoutFailed log.
    function payBatch(
        uint64 batchEpoch,
        uint256 id,
        address token,
        bytes calldata packed,
        bytes calldata signature
    ) external returns (uint256 failedCount) {
        uint256 count = _count(packed);
        _requireCode(token);
        bytes32 contentHash = keccak256(packed);
        if (batchEpoch != epoch) revert WrongEpoch(epoch);
        _checkSignature(_digest(batchEpoch, id, token, contentHash), signature);
        _consume(batchEpoch, id);
        uint256 index = _payUntilFailure(token, packed, 0);
        while (index < count) {
            bytes memory reason = _reason();
            _requireGasAfterFailure();
            ++failedCount;
            (address recipient, uint256 amount) = _entry(packed, index);
            emit PayoutFailed(batchEpoch, id, index, recipient, amount, reason);
            index = _payUntilFailure(token, packed, index + 1);
        }
        emit BatchExecuted(batchEpoch, id, token, contentHash, failedCount);
    }

    /// @notice Which entries would fail now, and why. Call it with eth_call before signing: it needs
    /// no signature because it always reverts, with Simulated(failures), so nothing can move.
    function simulate(address token, bytes calldata packed) external {
        uint256 count = _count(packed);
        _requireCode(token);
        Failure[] memory failures = new Failure[](count);
        uint256 failed = 0;
        uint256 index = _payUntilFailure(token, packed, 0);
        while (index < count) {
            failures[failed++] = Failure(index, _reason());
            _requireGasAfterFailure();
            index = _payUntilFailure(token, packed, index + 1);
        }
        assembly ("memory-safe") {
            mstore(failures, failed)
        }
        revert Simulated(failures);
    }

    /// @notice Whether a batch id was executed. Final only as the block it is asked at.
    function executed(uint64 batchEpoch, uint256 id) external view returns (bool) {
        return (_executed[batchEpoch][id >> 8] >> (id & 0xff)) & 1 == 1;
    }

    /// @notice What the signer signs for a batch, on this chain, by this contract.
    function batchDigest(uint64 batchEpoch, uint256 id, address token, bytes32 contentHash)
        external
        view
        returns (bytes32)
    {
        return _digest(batchEpoch, id, token, contentHash);
    }

    /// @notice Takes tokens out, or native coin where `token` is zero.
    function withdraw(address token, address to, uint256 amount) external onlyOwner {
        require(to != address(0), ZeroAddress());
        bool done;
        bytes memory answer;
        if (token == address(0)) {
            (done, answer) = to.call{value: amount}("");
        } else {
            _requireCode(token);
            (done, answer) = token.call(abi.encodeCall(IERC20.transfer, (to, amount)));
            // Nothing at all (USDT), or one word that is exactly 1.
            if (answer.length != 0) done = done && answer.length == 32 && uint256(bytes32(answer)) == 1;
        }
        if (!done) revert WithdrawalFailed(answer);
        emit Withdrawn(token, to, amount);
    }

    /// @notice Replaces the signer; zero stops all payouts.
    function setSigner(address newSigner) external onlyOwner {
        emit SignerChanged(signer, newSigner);
        signer = newSigner;
    }

    /// @notice Kills every signed batch that was not executed yet. The next epoch is named, so that
    /// a transaction sent twice does not raise it twice.
    function raiseEpoch(uint64 nextEpoch) external onlyOwner {
        if (nextEpoch != epoch + 1) revert WrongEpoch(epoch);
        epoch = nextEpoch;
        emit EpochRaised(nextEpoch);
    }

    function _consume(uint64 batchEpoch, uint256 id) private {
        uint256 bits = _executed[batchEpoch][id >> 8];
        uint256 mask = 1 << (id & 0xff);
        if (bits & mask != 0) revert AlreadyExecuted(batchEpoch, id);
        // Before the first transfer: a token that calls back finds the id used.
        _executed[batchEpoch][id >> 8] = bits | mask;
    }

    /// Not cached: the chain id changes when a chain splits, and a batch must not run on both halves.
    function _digest(uint64 batchEpoch, uint256 id, address token, bytes32 contentHash)
        private
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this))
        );
        bytes32 batch = keccak256(abi.encode(BATCH_TYPEHASH, batchEpoch, id, token, contentHash));
        return keccak256(abi.encodePacked(hex"1901", domain, batch));
    }

    function _checkSignature(bytes32 digest, bytes calldata signature) private view {
        require(signature.length == 65, BadSignature());
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        require(uint256(s) <= HALF_ORDER, BadSignature());
        address recovered = ecrecover(digest, uint8(signature[64]), r, s);
        // ecrecover answers zero for nonsense: it must not match a signer that was set to zero.
        require(recovered != address(0) && recovered == signer, BadSignature());
    }

    /// Transfers entry after entry until one fails; answers that entry's index, or their number.
    /// Paid means: the call succeeded and answered nothing at all (USDT; the caller has checked that
    /// there is code) or a word that is exactly 1. By hand, because this loop is what a batch costs:
    /// a Solidity call copies the whole answer, checks the code and encodes the selector each time.
    ///
    /// Memory: answer 0x00-0x1f, selector 0x20, recipient 0x24, amount 0x44-0x63. At fixed places
    /// (one PUSH instead of stack shuffling) this saves 45 gas an entry; the free memory pointer
    /// (0x40) and the zero slot (0x60) are put back before Solidity needs them.
    function _payUntilFailure(address token, bytes calldata packed, uint256 from)
        private
        returns (uint256 index)
    {
        bytes4 selector = IERC20.transfer.selector;
        assembly ("memory-safe") {
            let freeMemory := mload(0x40)
            let at := add(packed.offset, shl(5, from))
            let end := add(packed.offset, packed.length)
            mstore(0x20, selector)
            for {} lt(at, end) { at := add(at, 32) } {
                // The word's 20 address bytes end where the argument ends (0x43); the 12 bytes
                // that hang over are written again by the amount.
                mstore(0x30, calldataload(at))
                mstore(0x44, and(calldataload(at), 0xffffffffffffffffffffffff))
                let done := call(CALL_GAS, token, 0, 0x20, 68, 0, 32)
                // What stands at 0 is this call's answer only if it answered a whole word.
                let yes := and(eq(mload(0), 1), gt(returndatasize(), 31))
                if iszero(and(or(yes, iszero(returndatasize())), done)) { break }
            }
            index := shr(5, sub(at, packed.offset))
            mstore(0x40, freeMemory)
            mstore(0x60, 0)
        }
    }
}

interface IERC20 {
    function transfer(address to, uint256 amount) external returns (bool);
}
