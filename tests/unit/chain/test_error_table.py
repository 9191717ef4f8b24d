"""Real wordings of nodes and providers, each with the class it must become."""

from __future__ import annotations

import pytest

from chain.rpc.errors import (
    BatchRefused,
    CallReverted,
    MethodNotSupported,
    NodeBehind,
    NodeError,
    RateLimited,
    RpcError,
    Timeout,
    TooLarge,
    Unreachable,
)
from chain.rpc.table import classify, classify_http, suggestion

ALCHEMY = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range "
    "and no limit on the response size, or you can request any block range with a cap of 10K logs "
    "in the response. Based on your parameters and the response size limit, this block range "
    "should work: [0x10, 0x1f]"
)
ALCHEMY_FREE = (
    "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. "
    "Based on your parameters, this block range should work: [0x64, 0x6d]. "
    "Upgrade to PAYG for expanded block range."
)

# (who, code, message, suggested range, blocks per request); where it was seen stands behind it:
# owner/repository#number of the report, or the file that holds the wording.
TOO_LARGE: list[tuple[str, int | None, str, tuple[int, int] | None, int | None]] = [
    ("alchemy", -32602, ALCHEMY, (0x10, 0x1F), None),  # bancorprotocol/webapp#523, ponder-sh/ponder packages/utils/src/_test/alchemy.test.ts
    ("alchemy free", -32600, ALCHEMY_FREE, (0x64, 0x6D), None),  # BobTheBuidler/dank_mids#772
    ("alchemy timeout", -32000, "Query timeout exceeded. Consider reducing your block range. Based on your parameters and the response size limit, this block range should work: [0x1, 0x2]", (1, 2), None),  # ponder-sh/ponder packages/utils/src/_test/alchemy.test.ts
    ("infura", -32005, "query returned more than 10000 results. Try with this block range [0xA, 0x14].", (10, 20), None),  # ponder-sh/ponder packages/utils/src/_test/infura.test.ts
    ("infura, no range", -32005, "query returned more than 10000 results", None, None),  # status-im/nimbus-eth2#1823, zeta-chain/node#3265
    ("zksync", -32602, "Query returned more than 10000 results. Try with this block range [0x0, 0x5].", (0, 5), None),  # ponder-sh/ponder#724
    ("quicknode", -32614, "eth_getLogs is limited to a 10,000 range", None, 10_000),  # OffchainLabs/arbitrum-sdk#609
    ("quicknode discover", -32615, "eth_getLogs is limited to a 5 range", None, 5),  # ponder-sh/ponder packages/utils/src/_test/quicknode.test.ts
    ("1rpc", -32602, "eth_getLogs is limited to 0 - 50000 blocks range", None, 50_000),  # ponder-sh/ponder packages/utils/src/_test/1rpc.test.ts
    ("1rpc size", -32602, "response size should not greater than 10000000 bytes", None, None),  # ponder-sh/ponder packages/utils/src/_test/1rpc.test.ts
    ("ankr", -32600, "block range is too wide", None, None),  # ponder-sh/ponder packages/utils/src/_test/ankr.test.ts
    ("moonriver", -32603, "block range is too wide (maximum 1024)", None, 1024),  # moonbeam-foundation/moonbeam#3250
    ("ankr tac", -32000, "maximum [from, to] blocks distance: 10000", None, 10_000),  # ponder-sh/ponder packages/utils/src/_test/ankr-tac.test.ts
    ("cloudflare", -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800", None, 800),  # ponder-sh/ponder packages/utils/src/_test/cloudflare.test.ts
    ("bsc", -32000, "exceed maximum block range: 5000", None, 5000),  # AlphaWallet/alpha-wallet-android#2736
    ("publicnode", -32701, "exceed maximum block range: 50000", None, 50_000),  # ponder-sh/ponder packages/utils/src/_test/publicnode.test.ts
    ("besu", -32005, "Requested range exceeds maximum RPC range limit", None, None),  # hyperledger/besu RpcErrorType.java
    ("reth range", -32602, "query exceeds max block range 100000", None, 100_000),  # paradigmxyz/reth crates/rpc/rpc/src/eth/filter.rs
    ("reth results", -32602, "query exceeds max results 20000, retry with the range 100-150", (100, 150), None),  # paradigmxyz/reth crates/rpc/rpc/src/eth/filter.rs
    ("avalanche", -32000, "requested too many blocks from 0 to 5000, maximum is set to 2048", None, 2048),  # ponder-sh/ponder packages/utils/src/_test/avalanche.test.ts
    ("arbitrum", -32000, "logs matched by query exceeds limit of 10000", None, None),  # ponder-sh/ponder packages/utils/src/_test/arbitrum.test.ts
    ("arbitrum orbit", -32000, "log query timed out", None, None),  # ponder-sh/ponder packages/utils/src/_test/altitude.test.ts
    ("thirdweb", -32000, "Maximum allowed number of requested blocks is 1000", None, 1000),  # ponder-sh/ponder packages/utils/src/_test/thirdweb.test.ts
    ("blockpi", -32602, "eth_getLogs is limited to 1024 block range", None, 1024),  # ponder-sh/ponder packages/utils/src/_test/blockpi.test.ts
    ("chainstack", -32000, "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits", None, None),  # ponder-sh/ponder packages/utils/src/_test/chainstack.test.ts
    ("base", -32000, "block range too large", None, None),  # ponder-sh/ponder packages/utils/src/_test/base.test.ts
    ("optimism", -32000, "Block range is too large", None, None),  # ponder-sh/ponder packages/utils/src/_test/optimism.test.ts
    ("proxyd", -32020, "backend response too large", None, None),  # ethereum-optimism/infra proxyd/rpc.go
    ("swell", -32000, "block range greater than 10000 max", None, 10_000),  # ponder-sh/ponder packages/utils/src/_test/swell.test.ts
    ("somnia", -32000, "block range exceeds 1000", None, 1000),  # ponder-sh/ponder packages/utils/src/_test/somnia.test.ts
    ("coinbase", -32602, "please limit the query to at most 1000 blocks", None, 1000),  # ponder-sh/ponder packages/utils/src/_test/coinbase.test.ts
    ("merkle", -32000, "eth_getLogs range is too large, max is 10k blocks", None, 10_000),  # ponder-sh/ponder packages/utils/src/_test/merkle.test.ts
    ("harmony", -32000, "GetLogs query must be smaller than size 1024", None, 1024),  # ponder-sh/ponder packages/utils/src/_test/harmony.test.ts
    ("aurora", -32000, "up to a 2,000 block range", None, 2000),  # ponder-sh/ponder packages/utils/src/_test/aurora.test.ts
    ("blast", -32000, "eth_getLogs block range exceeds the range allowed for your plan (5000 > 2000)", None, 2000),  # ponder-sh/ponder packages/utils/src/_test/blast.test.ts
    ("drpc free", 35, "ranges over 10000 blocks are not supported on freetier", None, 10_000),  # seen at eth.drpc.org
    ("drpc, newer", 35, "ranges over 10000 blocks are not supported on free plan", None, 10_000),  # seen at eth.drpc.org
    ("infura range", -32602, "range 1000000 exceeds limit of 10000", None, 10_000),  # INFURA/infura#237
    ("tenderly", -32602, "range 9009594 is bigger than range limit 2000", None, 2000),  # bobanetwork/boba_legacy#827
    ("morph", -32000, "block range is larger than max block range, block range = 5120, max block range = 5000", None, 5000),  # enviodev/hyperindex#605
    ("scroll", -32000, "block range is bigger than maxBlockRange", None, None),  # scroll-tech/go-ethereum#529
    ("candle", -32600, "block range too high", None, None),  # AlphaWallet/alpha-wallet-ios#5277
    ("hedera", -32000, "Exceeded maximum block range: 1000", None, 1000),  # hiero-ledger/hiero-json-rpc-relay#3431
    ("cdk-erigon", -32005, "block range too large, max range: 1000", None, 1000),  # 0xPolygon/cdk-erigon#1706
    ("alchemy, 500", -32600, "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range should work: [0x123c9b2, 0x123cba5]", (0x123C9B2, 0x123CBA5), None),  # boundless-xyz/boundless#838
    ("alchemy, old", -32000, "Log response size exceeded. Please reduce query block range.", None, None),  # bancorprotocol/webapp#523
    ("1rpc gnosis", -32602, "eth_getLogs is limited to a 1000 blocks range", None, 1000),  # rotki/rotki#8875
    ("tron", -32005, "exceed max block range: 5000", None, 5000),  # ponder-sh/ponder packages/utils/src/_test/tron.test.ts
]  # fmt: skip

# Clients' own words: go-ethereum rpc/errors.go, core/error.go and internal/ethapi; hyperledger/besu
# RpcErrorType.java; NethermindEth/nethermind ErrorCodes and BlockchainBridge; paradigmxyz/reth
# crates/rpc/rpc-eth-types/src/error; foundry-rs/foundry crates/anvil/src/eth/error.rs;
# NomicFoundation/hardhat (tried on its node); proxyd: ethereum-optimism/infra proxyd/rpc.go.
# Providers': their pages of error codes (QuickNode error-references, Infura, Alchemy, Ankr, dRPC).
OTHERS: list[tuple[str, int | None, str, type[RpcError]]] = [
    ("infura rate", -32005, "project ID request rate exceeded", RateLimited),
    ("infura daily", -32005, "daily request count exceeded, request rate limited", RateLimited),
    ("alchemy rate", 429, "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message.", RateLimited),
    ("alchemy month", 429, "Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com/settings/billing to upgrade your scaling policy for continued service.", RateLimited),
    ("quicknode rate", -32007, "50/second request limit reached - reduce calls per second or upgrade your account at quicknode.com", RateLimited),
    ("quicknode daily", -32003, "daily request limit reached - upgrade your account", RateLimited),
    ("proxyd", -32016, "over rate limit", RateLimited),
    ("bsc", -32005, "limit exceeded", RateLimited),
    ("ankr", -32090, "Too many requests, reason: call rate limit exhausted, retry in 10s", RateLimited),
    ("drpc", -32001, "You've reached the usage limit for your current plan", RateLimited),
    ("geth unknown method", -32601, "the method eth_getBlockReceipts does not exist/is not available", MethodNotSupported),
    ("besu disabled", -32604, "Method not enabled", MethodNotSupported),
    ("hardhat", -32004, "Method eth_getBlockReceipts is not supported", MethodNotSupported),
    ("anvil", -32603, "Rpc Endpoint not implemented", MethodNotSupported),
    ("public endpoint", -32601, "rpc method is not whitelisted", MethodNotSupported),
    ("geth no header", -32000, "header not found", NodeBehind),
    ("geth unknown block", -32000, "unknown block", NodeBehind),
    ("geth finalized", -39001, "finalized block not found", NodeBehind),
    ("geth pruned", -32000, "missing trie node 4d6c (path ) state 0x4d6c is not available", NodeBehind),
    ("besu unknown", -39001, "Unknown block", NodeBehind),
    ("reth", -32001, "block not found: hash 0x01", NodeBehind),
    ("reth pruned", 4444, "pruned history unavailable", NodeBehind),
    ("anvil ahead", -32602, "BlockOutOfRangeError: block height is 3 but requested was 9", NodeBehind),
    ("avalanche ahead", -32000, "cannot query unfinalized data", NodeBehind),
    ("nethermind", -32001, "Block 0x123 is not available", NodeBehind),
    ("publicnode", -32602, "Archive requests are not supported", NodeBehind),
    ("geth revert", 3, "execution reverted: ERC20: transfer amount exceeds balance", CallReverted),
    ("geth bare revert", -32000, "execution reverted", CallReverted),
    ("nethermind revert", -32015, "VM execution error.", CallReverted),
    ("hardhat revert", -32603, "Error: VM Exception while processing transaction: reverted with reason string 'no'", CallReverted),
    ("besu revert", -32000, "Execution reverted", CallReverted),
    ("revert that talks of limits", 3, "execution reverted: rate limit exceeded", CallReverted),
    ("invalid opcode", -32000, "invalid opcode: PUSH0", CallReverted),
    ("geth timeout", -32002, "request timed out", Timeout),
    ("besu timeout", -32603, "Timeout expired", Timeout),
    ("geth call timeout", -32000, "execution aborted (timeout = 5s)", Timeout),
    ("proxyd down", -32011, "no backend is currently healthy to serve traffic", Unreachable),
    ("infura down", -32603, "Internal server error", Unreachable),
    ("infura key", -32002, "invalid project id", Unreachable),
    ("alchemy key", -32600, "Must be authenticated!", Unreachable),
    ("geth batch", -32600, "batch too large", BatchRefused),
    ("besu batch", -32005, "Number of requests exceeds max batch size", BatchRefused),
    ("drpc batch", 31, "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account at drpc.org", BatchRefused),
    ("reth batch", -32005, "Batched requests are not supported by this server", BatchRefused),
    ("anything else", -32000, "the sequencer is having lunch", NodeError),
    ("no words", -32000, "", NodeError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "message", "suggested", "blocks"),
    [row[1:] for row in TOO_LARGE],
    ids=[row[0] for row in TOO_LARGE],
)
def test_f07_range_too_large__wording__recognised_with_its_suggestion(
    code: int | None, message: str, suggested: tuple[int, int] | None, blocks: int | None
) -> None:
    error = classify(code, message)
    assert isinstance(error, TooLarge), error
    assert error.suggested == suggested
    assert error.max_blocks == blocks


@pytest.mark.parametrize(
    ("code", "message", "expected"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS]
)
def test_classify__wording__class(code: int | None, message: str, expected: type[RpcError]) -> None:
    assert type(classify(code, message)) is expected


def test_classify__batch_limit_named__kept() -> None:
    error = classify(31, "Batch of more than 3 requests are not allowed on free tier")
    assert isinstance(error, BatchRefused) and error.max_items == 3


def test_classify__pause_named__kept() -> None:
    error = classify(-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s")
    assert isinstance(error, RateLimited) and error.retry_after == 10


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Unreachable), (403, Unreachable), (404, Unreachable), (408, Timeout),
        (413, TooLarge), (429, RateLimited), (500, Unreachable), (502, Unreachable),
        (503, Unreachable), (504, Timeout), (524, Timeout),
    ],
)  # fmt: skip
def test_classify_http__status__class(status: int, expected: type[RpcError]) -> None:
    assert type(classify_http(status, None)) is expected


def test_suggestion__backwards_or_absent__none() -> None:
    assert suggestion("Try with this block range [0x5, 0x1].") == (None, None)
    assert suggestion("no") == (None, None)
