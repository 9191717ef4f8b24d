"""Real wordings of nodes that refuse a transaction, and the verdict each proves."""

from __future__ import annotations

import pytest

from chain.send import SendOutcome, SendResult, classify_send_error, combine

O = SendOutcome  # noqa: E741

# Where the words come from: go-ethereum core/txpool/errors.go and core/error.go
# (nucypher/nucypher#2398); erigontech/erigon txpool; NethermindEth/nethermind AcceptTxResult.cs
# (its reports 4148, 10226, 12153); hyperledger/besu RpcErrorType.java; paradigmxyz/reth crates/rpc;
# foundry-rs/foundry crates/anvil/src/eth/error.rs; Hardhat's node, as it answers in
# tests/chain/clients; OffchainLabs/nitro; openethereum rpc/src/v1/helpers/errors.rs.
ROWS: list[tuple[str, str, SendOutcome]] = [
    ("geth", "already known", O.already_known),
    ("geth old", "known transaction: 0x1234", O.already_known),
    ("geth", "nonce too low", O.nonce_too_low),
    ("geth, detailed", "nonce too low: next nonce 5, tx nonce 3", O.nonce_too_low),
    ("geth", "replacement transaction underpriced", O.replacement_underpriced),
    ("geth, detailed", "replacement transaction underpriced: new tx gas fee cap 110 <= 100 queued", O.replacement_underpriced),
    ("geth", "transaction underpriced", O.underpriced),
    ("geth, tip", "transaction underpriced: tip needed 1000000, tip permitted 1", O.underpriced),
    ("geth, tip minimum", "transaction underpriced: gas tip cap 0, minimum needed 1", O.underpriced),
    ("geth", "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1", O.insufficient_funds),
    ("geth", "insufficient funds for transfer", O.insufficient_funds),
    ("geth", "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", O.fee_cap),
    ("geth", "exceeds block gas limit", O.rejected),
    ("geth", "intrinsic gas too low: gas 1, minimum needed 21000", O.rejected),
    ("geth", "insufficient gas for floor data gas cost: gas 21000, minimum needed 30000", O.rejected),
    ("geth", "invalid sender", O.rejected),
    ("geth", "invalid chain id for signer: have 1 want 10", O.rejected),
    ("geth", "rlp: value size exceeds available input length", O.rejected),
    ("geth", "typed transaction too short", O.rejected),
    ("geth", "transaction type not supported", O.rejected),
    ("geth", "max priority fee per gas higher than max fee per gas: address 0x00, tip: 2, feecap: 1", O.rejected),
    ("geth osaka", "transaction gas limit too high (cap: 16777216, tx: 20000000)", O.rejected),
    ("geth", "EIP-7702 transaction with empty auth list", O.rejected),
    ("geth", "only replay-protected (EIP-155) transactions allowed over RPC", O.unknown),
    ("geth", "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 2", O.underpriced),
    ("geth, other's nonce", "authority nonce too low", O.unknown),
    ("geth", "nonce too high", O.unknown),
    ("geth", "txpool is full", O.unknown),
    ("geth", "future transaction tries to replace pending", O.unknown),
    ("geth", "in-flight transaction limit reached for delegated accounts", O.unknown),
    ("geth", "gapped-nonce tx from delegated accounts", O.unknown),
    ("geth", "address already reserved", O.unknown),
    ("erigon", "ALREADY_EXISTS: already known", O.already_known),
    ("erigon", "block already known", O.unknown),
    ("erigon", "INTERNAL_ERROR: existing tx with same hash", O.unknown),
    ("erigon", "could not replace existing tx", O.replacement_underpriced),
    ("erigon", "fee cap less than block base fee", O.underpriced),
    ("nethermind", "AlreadyKnown", O.already_known),
    ("nethermind", "OldNonce, Current nonce: 5, nonce of rejected tx: 3", O.nonce_too_low),
    ("nethermind", "NonceGap, Future nonce. Expected nonce: 5", O.unknown),
    ("nethermind", "OwnNonceAlreadyUsed", O.unknown),
    ("nethermind", "ReplacementNotAllowed", O.replacement_underpriced),
    ("nethermind", "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 2, MaxPriorityFeePerGas:1, Block number: 9", O.underpriced),
    ("nethermind", "FeeTooLowToCompete", O.underpriced),
    ("nethermind", "InsufficientFunds, Account balance: 0, cumulative cost: 1", O.insufficient_funds),
    ("nethermind", "InsufficientFunds, Balance is 0 less than sending value + gas 1", O.insufficient_funds),
    ("nethermind", "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000", O.rejected),
    ("nethermind", "FailedToResolveSender", O.rejected),
    ("besu", "Known transaction", O.already_known),
    ("besu", "Nonce too low", O.nonce_too_low),
    ("besu", "Nonce too high", O.unknown),
    ("besu", "Transaction nonce is too distant from current sender nonce", O.unknown),
    ("besu", "Replacement transaction underpriced", O.replacement_underpriced),
    ("besu", "Upfront cost exceeds account balance", O.insufficient_funds),
    ("besu", "Gas price below configured minimum gas price", O.underpriced),
    ("besu", "Gas price below current base fee", O.underpriced),
    ("besu", "Transaction fee cap exceeded", O.fee_cap),
    ("besu", "Intrinsic gas exceeds gas limit", O.rejected),
    ("besu", "Transaction gas limit exceeds block gas limit", O.rejected),
    ("besu", "Invalid signature", O.rejected),
    ("besu", "Wrong chainId", O.rejected),
    ("besu", "Invalid transaction type", O.rejected),
    ("besu", "Max priority fee per gas exceeds max fee per gas", O.rejected),
    ("reth", "already known", O.already_known),
    ("reth", "nonce too low: next nonce 4, tx nonce 2", O.nonce_too_low),
    ("reth", "replacement transaction underpriced", O.replacement_underpriced),
    ("reth", "failed to decode signed transaction", O.rejected),
    ("reth", "invalid transaction signature", O.rejected),
    ("reth", "txpool is full", O.unknown),
    ("anvil", "transaction already imported", O.already_known),
    ("anvil", "Tx: [0x01] already Imported", O.already_known),
    ("anvil", "replacement transaction underpriced", O.replacement_underpriced),
    ("anvil", "Tx: [0x01] insufficient gas price to replace existing transaction", O.replacement_underpriced),
    ("anvil", "nonce too low", O.nonce_too_low),
    ("anvil", "Insufficient funds for gas * price + value", O.insufficient_funds),
    ("anvil", "intrinsic gas too high -- CallGasCostMoreThanGasLimit", O.rejected),
    ("anvil", "Incompatible EIP-155 transaction, signed for another chain", O.rejected),
    ("anvil", "Failed to decode transaction", O.rejected),
    ("anvil", "max fee per gas less than block base fee", O.underpriced),
    ("hardhat", "Nonce too low. Expected nonce to be 3 but got 1.", O.nonce_too_low),
    ("hardhat", "Nonce too high. Expected nonce to be 3 but got 9. Note that transactions can't be queued when automining.", O.unknown),
    ("hardhat", "Known transaction: 0x01", O.already_known),
    ("hardhat", "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 3 is necessary to replace the existing transaction with nonce 1.", O.replacement_underpriced),
    ("hardhat", "Sender doesn't have enough funds to send tx. The max upfront cost is: 2 and the sender's balance is: 1.", O.insufficient_funds),
    ("hardhat", "Transaction requires at least 21000 gas but got 20000", O.rejected),
    ("hardhat", "Transaction maxFeePerGas (1) is too low for the next block, which has a baseFeePerGas of 2", O.underpriced),
    ("hardhat", "VM Exception while processing transaction: reverted with reason string 'x'", O.unknown),
    ("nitro", "nonce too low: address 0x00, tx: 1 state: 3", O.nonce_too_low),
    ("nitro", "nonce too high: address 0x00, tx: 9 state: 3", O.unknown),
    ("nitro", "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 2", O.underpriced),
    ("nitro", "execution reverted", O.unknown),
    ("nitro", "sequencer pending tx pool full, please try again", O.unknown),
    ("nitro", "not enough funds for gas", O.insufficient_funds),
    ("op-geth", "oversized data: transaction size 200000, limit 131072", O.unknown),
    ("bor", "transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000", O.underpriced),
    ("bsc", "transaction underpriced", O.underpriced),
    ("avalanche", "nonce too low: address 0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B current nonce (5) > tx nonce (3)", O.nonce_too_low),
    ("zksync", "nonce too low. allowed nonce range: 5 - 1005, actual: 3", O.nonce_too_low),
    ("openethereum", "Transaction with the same hash was already imported.", O.already_known),
    ("openethereum", "Transaction nonce is too low. Try incrementing the nonce.", O.nonce_too_low),
    ("openethereum", "Insufficient funds. The account you tried to send transaction from does not have enough funds.", O.insufficient_funds),
    ("celo", "tx fee (1.10 of currency celo) exceeds the configured cap (1.00 celo)", O.fee_cap),
    ("metis", "gas price too low: 1 wei, use at least tx.gasPrice = 2 wei", O.underpriced),
    ("moonbeam", "submit transaction to pool failed: Pool(Stale)", O.nonce_too_low),
    ("moonbeam", "submit transaction to pool failed: Pool(AlreadyImported)", O.already_known),
    ("alchemy", "Your app has exceeded its compute units per second capacity.", O.unknown),
    ("infura", "project ID request rate exceeded", O.unknown),
    ("quicknode", "50/second request limit reached", O.unknown),
    ("proxyd", "no backend is currently healthy to serve traffic", O.unknown),
    ("any", "internal error", O.unknown),
    ("any", "", O.unknown),
    ("provider", "failed to decode response from upstream", O.unknown),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"), [row[1:] for row in ROWS], ids=[f"{r[0]}: {r[1][:40]}" for r in ROWS]
)
def test_f14_send_error__wording__verdict(message: str, expected: SendOutcome) -> None:
    assert classify_send_error(-32000, message) is expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], O.unknown),
        ([O.rejected], O.rejected),
        ([O.unknown, O.rejected], O.unknown),
        ([O.rejected, O.unknown, O.insufficient_funds], O.unknown),
        ([O.unknown, O.already_known], O.already_known),
        ([O.unknown, O.nonce_too_low], O.nonce_too_low),
        ([O.rejected, O.accepted], O.accepted),
        ([O.underpriced, O.rejected], O.underpriced),
        ([O.insufficient_funds, O.replacement_underpriced], O.replacement_underpriced),
    ],
)
def test_f14_combine__several_providers__a_refusal_never_hides_an_unknown(
    outcomes: list[SendOutcome], expected: SendOutcome
) -> None:
    assert combine(SendResult(outcome) for outcome in outcomes).outcome is expected
