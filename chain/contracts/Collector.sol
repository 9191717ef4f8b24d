// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Forwarder} from "./Forwarder.sol";
import {PackedEntries} from "./PackedEntries.sol";
import {TwoStepOwner} from "./TwoStepOwner.sol";

/// @title Collects deposits from delegated addresses into one sink
/// @notice Every issued deposit address is bound to this contract for good. The sink is what can
/// change: the cold owner moves it when the treasury is leaked or blacklisted, after a delay that
/// lets whoever watches the chain react to a stolen owner key.
///
/// What it guarantees: money goes to the sink and nowhere else; an account that does not delegate
/// to the forwarder is a failure, never a silent success; one failure never holds up the others.
/// What it does not: idempotency. The same sweep sent twice moves the amounts twice if they are
/// there; the sweeper's nonce is what prevents it. An account whose key delegated it to code that
/// lies can answer the magic word without paying: the token's Transfer logs say what moved.
contract Collector is TwoStepOwner, PackedEntries {
    error NotSweeper();
    error NothingAnnounced();
    error SinkNotReady(uint256 readyAt);
    error LengthsDiffer();

    event Swept(address indexed token, address indexed sink, uint256 accounts, uint256 failedCount);
    event SweepFailed(
        address indexed token, uint256 index, address account, uint256 amount, bytes reason
    );
    event SweeperChanged(address indexed formerSweeper, address indexed sweeper);
    event SinkAnnounced(address indexed sink, uint256 readyAt);
    event SinkChanged(address indexed formerSink, address indexed sink);

    /// Long enough for a weekend's absence to end, short enough for a blacklisted treasury.
    uint256 public constant SINK_DELAY = 3 days;

    bytes32 private constant FORWARDED = keccak256("bursar.forwarder.1.forwarded");

    /// The gas key of the sweep lane. Strangers may not sweep, or they could move money that
    /// screening holds back, and make an exact plan fail at will.
    address public sweeper;
    address public sink;
    address public announcedSink;
    uint256 public announcedSinkReadyAt;

    modifier onlySweeper() {
        require(msg.sender == sweeper, NotSweeper());
        _;
    }

    constructor(address firstOwner, address firstSweeper, address firstSink)
        TwoStepOwner(firstOwner)
    {
        require(firstSink != address(0), ZeroAddress());
        sweeper = firstSweeper;
        sink = firstSink;
        emit SweeperChanged(address(0), firstSweeper);
        emit SinkChanged(address(0), firstSink);
    }

    /// @notice Moves the given amounts of one token (native coin where zero) to the sink.
    /// @param packed deposit accounts and amounts, 32 bytes each; see PackedEntries.
    /// @return failedCount accounts that did not pay, each with a SweepFailed log.
    function sweep(address token, bytes calldata packed)
        external
        onlySweeper
        returns (uint256 failedCount)
    {
        return _sweep(token, packed);
    }

    /// @notice The same for several tokens: one authorization of an account serves all of them.
    function sweepMany(address[] calldata tokens, bytes[] calldata packed)
        external
        onlySweeper
        returns (uint256 failedCount)
    {
        require(tokens.length == packed.length, LengthsDiffer());
        for (uint256 i = 0; i < tokens.length; ++i) {
            failedCount += _sweep(tokens[i], packed[i]);
        }
    }

    /// @notice Which accounts would fail now, and why; always reverts with Simulated(failures), so
    /// anyone may ask. Give eth_call the authorization list, or override the code of accounts that
    /// do not delegate yet with 0xef0100 and the forwarder's address.
    function simulate(address token, bytes calldata packed) external {
        uint256 count = _count(packed);
        if (token != address(0)) _requireCode(token);
        address to = sink;
        Failure[] memory failures = new Failure[](count);
        uint256 failed = 0;
        uint256 index = _forwardUntilFailure(token, to, packed, 0);
        while (index < count) {
            failures[failed++] = Failure(index, _reason());
            _requireGasAfterFailure();
            index = _forwardUntilFailure(token, to, packed, index + 1);
        }
        assembly ("memory-safe") {
            mstore(failures, failed)
        }
        revert Simulated(failures);
    }

    /// @notice Replaces the sweeper; zero stops all sweeps.
    function setSweeper(address newSweeper) external onlyOwner {
        emit SweeperChanged(sweeper, newSweeper);
        sweeper = newSweeper;
    }

    /// @notice Starts the delay for a new sink; a second call starts it again.
    function announceSink(address newSink) external onlyOwner {
        require(newSink != address(0), ZeroAddress());
        announcedSink = newSink;
        announcedSinkReadyAt = block.timestamp + SINK_DELAY;
        emit SinkAnnounced(newSink, announcedSinkReadyAt);
    }

    /// @notice Withdraws the announcement.
    function cancelSink() external onlyOwner {
        announcedSink = address(0);
        announcedSinkReadyAt = 0;
        emit SinkAnnounced(address(0), 0);
    }

    /// @notice Puts the announced sink in place once its delay is over.
    function applySink() external onlyOwner {
        require(announcedSink != address(0), NothingAnnounced());
        if (block.timestamp < announcedSinkReadyAt) revert SinkNotReady(announcedSinkReadyAt);
        emit SinkChanged(sink, announcedSink);
        sink = announcedSink;
        announcedSink = address(0);
        announcedSinkReadyAt = 0;
    }

    function _sweep(address token, bytes calldata packed) private returns (uint256 failedCount) {
        uint256 count = _count(packed);
        if (token != address(0)) _requireCode(token);
        address to = sink;
        uint256 index = _forwardUntilFailure(token, to, packed, 0);
        while (index < count) {
            bytes memory reason = _reason();
            _requireGasAfterFailure();
            ++failedCount;
            (address account, uint256 amount) = _entry(packed, index);
            emit SweepFailed(token, index, account, amount, reason);
            index = _forwardUntilFailure(token, to, packed, index + 1);
        }
        emit Swept(token, to, count, failedCount);
    }

    /// Calls account after account until one fails; answers its index, or their number. By hand for
    /// the reasons of Treasury._payUntilFailure; success is the magic word and nothing else.
    function _forwardUntilFailure(address token, address to, bytes calldata packed, uint256 from)
        private
        returns (uint256 index)
    {
        bytes4 selector = Forwarder.forward.selector;
        bytes32 magic = FORWARDED;
        assembly ("memory-safe") {
            let frame := mload(0x40)
            mstore(frame, selector)
            mstore(add(frame, 4), token)
            mstore(add(frame, 36), to)
            let at := add(packed.offset, shl(5, from))
            let end := add(packed.offset, packed.length)
            for {} lt(at, end) { at := add(at, 32) } {
                let word := calldataload(at)
                mstore(add(frame, 68), and(word, 0xffffffffffffffffffffffff))
                let done := call(CALL_GAS, shr(96, word), 0, frame, 100, 0, 32)
                if iszero(and(and(eq(mload(0), magic), eq(returndatasize(), 32)), done)) { break }
            }
            index := shr(5, sub(at, packed.offset))
        }
    }
}
