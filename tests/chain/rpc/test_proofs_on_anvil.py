"""A real node's blocks prove; a provider that forges one is named and left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from chain.rpc.errors import BadReply, NodeBehind, ProofFailed
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.clock import SystemClock, SystemEntropy
from config.units import Address, Hash32
from tests.chain.rpc.conftest import MakeClient
from tests.chain.rpc.test_client_on_anvil import ALICE, PAYER, deploy_logger, pay

HELPER: LocalAccount = Account.create()
Forge = Callable[[Any], Any]


class Forger:
    """A transport whose answers from ``localhost`` pass through ``forge``, by method."""

    def __init__(self, inner: AiohttpTransport, forge: Mapping[str, Forge]) -> None:
        self._inner = inner
        self._forge = forge
        self.asked: list[tuple[str, str]] = []

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, answer = await self._inner.post(url, body, timeout)
        request, reply = msgspec.json.decode(body), msgspec.json.decode(answer)
        lies = "localhost" in url
        for item in request if isinstance(request, list) else [request]:
            self.asked.append(("liar" if lies else "honest", item["method"]))
        forge = None if isinstance(request, list) else self._forge.get(request["method"])
        if lies and forge is not None:
            made = forge(reply.get("result"))
            reply = (
                {**reply, "result": made} if made is not ERROR else NOT_FOUND | {"id": reply["id"]}
            )
        return status, headers, msgspec.json.encode(reply)


ERROR = object()
NOT_FOUND = {"jsonrpc": "2.0", "error": {"code": -32601, "message": "the method does not exist"}}


def over(
    anvil: Anvil, session: aiohttp.ClientSession, forge: Mapping[str, Forge], *, alone: bool = False
) -> tuple[ChainClient, Forger]:
    transport = Forger(AiohttpTransport(session), forge)
    urls = [anvil.rpc_url.replace("127.0.0.1", "localhost"), anvil.rpc_url]
    pool = RpcPool(
        "anvil", 31337, urls[: 1 if alone else 2],
        transport=transport, clock=SystemClock(), entropy=SystemEntropy(),
    )  # fmt: skip
    return ChainClient(pool), transport


async def busy_block(client: ChainClient, dev_rpc: DevRpc, *, each: int = 10) -> int:
    """Mine one block that holds ``each`` logging transactions of types 0, 1, 2 and 4."""
    logger = await deploy_logger(client)
    await dev_rpc.call("evm_setAutomine", False)
    nonce = await client.nonce(Address(bytes.fromhex(PAYER.address[2:])))
    common = {"chainId": 31337, "gas": 120_000, "to": logger, "value": 0}
    dynamic = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    access = [{"address": "0x" + logger.hex(), "storageKeys": ["0x" + "01" * 32]}]
    for i in range(each):
        permit = HELPER.sign_authorization({"chainId": 31337, "address": logger, "nonce": i})
        for kind, fields in (
            (0, {"gasPrice": 10**10}),
            (1, {"gasPrice": 10**10, "accessList": access, "type": 1}),
            (2, {**dynamic, "accessList": access}),
            (4, {**dynamic, "authorizationList": [permit]}),
        ):
            # Every seventh reverts: amount 0.
            amount = 0 if (4 * i + kind) % 7 == 6 else 1000 * i + kind
            signed = PAYER.sign_transaction(
                {**common, **fields, "nonce": nonce, "data": pay(ALICE, amount)}
            )
            result = await client.send_raw(bytes(signed.raw_transaction))
            assert result.outcome.value == "accepted", result
            nonce += 1
    await dev_rpc.call("anvil_mine", "0x1")
    head = await client.block("latest")
    assert head is not None
    return head.number


async def test_proof__block_of_every_type__proven_and_equal_to_single_receipts(
    client: ChainClient, dev_rpc: DevRpc
) -> None:
    height = await busy_block(client, dev_rpc, each=35)
    proven = await client.proven_receipts(height)
    assert len(proven.receipts) == 140 and proven.hashes_proven
    assert proven.provider == client.providers[0]
    raw = await dev_rpc.call("eth_getBlockReceipts", hex(height))
    assert {row["type"] for row in raw} == {"0x0", "0x1", "0x2", "0x4"}
    assert {receipt.status for receipt in proven.receipts} == {0, 1}
    single = await client.receipts([receipt.tx_hash for receipt in proven.receipts])
    assert list(proven.receipts) == single
    assert await client.block(height) == proven.header
    logs = [log for receipt in proven.receipts for log in receipt.logs]
    assert logs == await client.transfer_logs(height, height, tokens=None, recipients=None)
    assert await client.proven_receipts(proven.header.hash) == proven


async def test_proof__without_bodies__logs_only(client: ChainClient, dev_rpc: DevRpc) -> None:
    height = await busy_block(client, dev_rpc)
    bare = await client.proven_receipts(height, transactions=False)
    assert not bare.hashes_proven
    assert bare.receipts == (await client.proven_receipts(height)).receipts


async def test_proof__genesis_and_empty_blocks__no_receipts(
    client: ChainClient, dev_rpc: DevRpc
) -> None:
    await dev_rpc.call("anvil_mine", "0x2")
    for height in (0, 1, 2):
        assert (await client.proven_receipts(height)).receipts == ()


async def test_proof__block_that_is_not_there__says_behind(client: ChainClient) -> None:
    for which in (99, Hash32(b"\x11" * 32)):
        with pytest.raises(NodeBehind):
            await client.proven_receipts(which)


def forged_amount(rows: Any) -> Any:
    rows[5]["logs"][0]["data"] = "0x" + f"{10**30:064x}"
    return rows


def dropped_receipt(rows: Any) -> Any:
    return rows[:-1]


def swapped(rows: Any) -> Any:
    rows[3], rows[4] = rows[4], rows[3]
    return rows


def emptied(rows: Any) -> Any:
    return []


def no_logs(rows: Any) -> Any:
    return [{**row, "logs": [], "logsBloom": "0x" + "00" * 256} for row in rows]


def invented_transaction(rows: Any) -> Any:
    """True logs under a hash that never was: the receipts root does not notice."""
    rows[5]["transactionHash"] = "0x" + "77" * 32
    for log in rows[5]["logs"]:
        log["transactionHash"] = "0x" + "77" * 32
    return rows


def shifted_logs(rows: Any) -> Any:
    """Another log index would make one log two sightings."""
    for log in rows[5]["logs"]:
        log["logIndex"] = hex(int(log["logIndex"], 16) + 1)
    return rows


def moved_log(rows: Any) -> Any:
    rows[5]["logs"][0]["transactionIndex"] = "0x0"
    return rows


@pytest.mark.parametrize(
    "forge",
    [
        shifted_logs,
        moved_log,
        forged_amount,
        dropped_receipt,
        swapped,
        emptied,
        no_logs,
        invented_transaction,
    ],
)
async def test_f06_proof__forged_receipts__other_provider_or_named(
    forge: Forge,
    anvil: Anvil,
    dev_rpc: DevRpc,
    session: aiohttp.ClientSession,
    client: ChainClient,
) -> None:
    height = await busy_block(client, dev_rpc)
    right = await client.proven_receipts(height)
    both, transport = over(anvil, session, {"eth_getBlockReceipts": forge})
    proven = await both.proven_receipts(height)
    assert proven.receipts == right.receipts
    assert proven.provider.startswith("127.0.0.1")
    assert ("liar", "eth_getBlockReceipts") in transport.asked
    assert both.pinned().provider == proven.provider  # the liar has lost its place
    alone, _ = over(anvil, session, {"eth_getBlockReceipts": forge}, alone=True)
    with pytest.raises(ProofFailed, match="localhost") as caught:
        await alone.proven_receipts(height)
    assert caught.value.provider.startswith("localhost")


async def test_f06_proof__invented_hash_in_block_and_receipt_alike__refused(
    anvil: Anvil, dev_rpc: DevRpc, session: aiohttp.ClientSession, client: ChainClient
) -> None:
    height = await busy_block(client, dev_rpc)

    def renamed(block: Any) -> Any:
        block["transactions"][5]["hash"] = "0x" + "77" * 32
        return block

    forge = {"eth_getBlockByNumber": renamed, "eth_getBlockReceipts": invented_transaction}
    alone, _ = over(anvil, session, forge, alone=True)
    with pytest.raises(ProofFailed, match="another transaction"):
        await alone.proven_receipts(height)


async def test_f06_proof__another_block_than_asked__refused(
    anvil: Anvil, dev_rpc: DevRpc, session: aiohttp.ClientSession, client: ChainClient
) -> None:
    """It proves itself perfectly, and is not what was asked."""
    await dev_rpc.call("anvil_mine", "0x2")
    right = await client.block(2)
    assert right is not None
    other = await dev_rpc.call("eth_getBlockByNumber", "0x1", True)
    forge = {"eth_getBlockByNumber": lambda _: other, "eth_getBlockByHash": lambda _: other}
    both, _ = over(anvil, session, forge)
    alone, _ = over(anvil, session, forge, alone=True)
    for which in (2, right.hash):
        assert (await both.proven_receipts(which)).header == right
        with pytest.raises(BadReply):
            await alone.proven_receipts(which)


async def test_f06_proof__block_of_the_right_hash_with_no_number__not_proven(
    anvil: Anvil, session: aiohttp.ClientSession, client: ChainClient
) -> None:
    right = await client.block("latest")
    assert right is not None
    forge = {"eth_getBlockByHash": lambda block: block | {"number": "latest"}}
    both, _ = over(anvil, session, forge)
    assert (await both.proven_receipts(right.hash)).header == right
    alone, _ = over(anvil, session, forge, alone=True)
    with pytest.raises(ProofFailed, match=f"block 0x{right.hash.hex()} is not proven"):
        await alone.proven_receipts(right.hash)


async def test_f06_proof__whole_block_forged_consistently__hash_does_not_fit(
    anvil: Anvil, dev_rpc: DevRpc, session: aiohttp.ClientSession, client: ChainClient
) -> None:
    """The liar makes the root fit its receipts: then the header no longer hashes to its hash."""
    height = await busy_block(client, dev_rpc)
    empty_root = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"

    def forged(block: Any) -> Any:
        return block | {
            "transactions": [], "transactionsRoot": empty_root, "receiptsRoot": empty_root,
            "logsBloom": "0x" + "00" * 256, "gasUsed": "0x0",
        }  # fmt: skip

    alone, _ = over(
        anvil, session,
        {"eth_getBlockByNumber": forged, "eth_getBlockReceipts": emptied}, alone=True,
    )  # fmt: skip
    with pytest.raises(ProofFailed, match="do not hash"):
        await alone.proven_receipts(height)


async def test_proof__no_block_receipts_method__batched_single_receipts(
    anvil: Anvil,
    dev_rpc: DevRpc,
    session: aiohttp.ClientSession,
    client: ChainClient,
) -> None:
    height = await busy_block(client, dev_rpc)
    alone, transport = over(
        anvil, session, {"eth_getBlockReceipts": lambda rows: ERROR}, alone=True
    )
    assert (await alone.proven_receipts(height)).receipts == (
        await client.proven_receipts(height)
    ).receipts
    assert transport.asked.count(("liar", "eth_getTransactionReceipt")) == 40


async def test_proof__pinned_view__asks_nobody_else(
    anvil: Anvil,
    dev_rpc: DevRpc,
    session: aiohttp.ClientSession,
    make_client: MakeClient,
) -> None:
    height = await busy_block(make_client([anvil.rpc_url]), dev_rpc)
    both, transport = over(anvil, session, {"eth_getBlockReceipts": emptied})
    view = both.pinned()
    assert view.provider is not None and view.provider.startswith("localhost")
    with pytest.raises(ProofFailed):
        await view.proven_receipts(height)
    assert {who for who, _ in transport.asked} == {"liar"}
