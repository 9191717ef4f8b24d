"""Providers that lie, stall and break, in front of a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chain.anvil import Anvil, DevRpc
from chain.rpc.errors import (
    BadReply,
    RateLimited,
    RpcError,
    Timeout,
    TooLarge,
    Unreachable,
    WrongChain,
)
from chain.rpc.health import ProviderState
from chain.rpc.labels import label_of
from chain.rpc.methods import Timeouts
from chain.send import SendOutcome
from config.units import Hash32
from tests.chain.rpc.conftest import MakeClient
from tests.chain.rpc.test_client_on_anvil import ALICE, PAYER, deploy_logger, pay, send
from tests.support.clock import AheadClock
from tests.support.fault_proxy import Fault, FaultProxy, Kind


@pytest.fixture
async def liar(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(anvil.rpc_url) as proxy:
        yield proxy


@pytest.fixture
async def honest(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(anvil.rpc_url) as proxy:
        yield proxy


def raw_transfer(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "chainId": 31337, "nonce": 0, "gas": 21_000, "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9, "value": 1, "to": ALICE, **changes,
    }  # fmt: skip
    return bytes(PAYER.sign_transaction(fields).raw_transaction)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.html), Fault(Kind.truncated), Fault(Kind.dropped), Fault(Kind.refused),
        Fault(Kind.swallowed), Fault(Kind.wrong_id), Fault(Kind.status, value=502),
        Fault(Kind.null_block), Fault(Kind.wrong_height), Fault(Kind.rate_limited),
        Fault(Kind.rate_limited, value=30), Fault(Kind.error, value=(-32000, "no idea")),
        Fault(Kind.error, value=(-32011, "no backend is currently healthy to serve traffic")),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.value}",
)  # fmt: skip
async def test_f06_bad_reply__two_providers__the_other_answers(
    fault: Fault, liar: FaultProxy, honest: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x3")
    client = make_client([liar.url, honest.url])
    assert await client.remote_chain_id() == 31337
    liar.add(fault)
    for height in (1, 2, 3):
        header = await client.block(height)
        assert header is not None and header.number == height
    headers = await client.headers(0, 3)
    assert [header.number for header in headers] == [0, 1, 2, 3]
    assert fault.struck > 0


@pytest.mark.parametrize("kind", [Kind.foreign_log, Kind.removed_log])
async def test_f06_logs_of_another_block__refused_and_asked_elsewhere(
    kind: Kind, liar: FaultProxy, honest: FaultProxy, anvil: Anvil, make_client: MakeClient
) -> None:
    direct = make_client([anvil.rpc_url])
    logger = await deploy_logger(direct)
    await send(direct, to=logger, data=pay(ALICE, 7))
    right = await direct.transfer_logs(0, 5, tokens=[logger], recipients=None)
    fault = liar.add(Fault(kind))
    client = make_client([liar.url, honest.url])
    assert await client.transfer_logs(0, 5, tokens=[logger], recipients=None) == right
    by_hash = await client.transfer_logs_of_block(right[0].block_hash, tokens=None, recipients=None)
    assert by_hash == right
    assert fault.struck > 0
    alone = make_client([liar.url])
    with pytest.raises(BadReply):
        await alone.transfer_logs(0, 5, tokens=[logger], recipients=None)


async def test_f06_block_by_hash__another_block__refused(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    right = await make_client([honest.url]).block(0)
    assert right is not None
    fault = liar.add(Fault(Kind.other_hash, methods={"eth_getBlockByHash"}))
    assert await make_client([liar.url, honest.url]).block_by_hash(right.hash) == right
    assert fault.struck > 0


async def test_f06_null_below_own_head__bad_reply(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x5")
    client = make_client([liar.url])
    assert (await client.block("latest")) is not None
    liar.add(Fault(Kind.null_block))
    with pytest.raises(BadReply):
        await client.block(3)
    assert await client.block(6) is None


async def test_f07_too_large__one_provider__straight_to_the_caller(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url, honest.url])
    liar.add(
        Fault(
            Kind.error, value=(-32000, "exceed maximum block range: 5000"), methods={"eth_getLogs"}
        )
    )
    with pytest.raises(TooLarge) as caught:
        await client.transfer_logs(0, 9000, tokens=None, recipients=None)
    assert caught.value.max_blocks == 5000
    assert honest.requests["eth_getLogs"] == 0
    assert client.provider_states()[label_of(liar.url)] is ProviderState.alive


async def test_f08_rate_limited__one_of_two__only_that_one_slows(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url, honest.url])
    liar.add(Fault(Kind.rate_limited, value=60))
    started = asyncio.get_running_loop().time()
    for _ in range(20):
        assert await client.block("latest") is not None
    assert asyncio.get_running_loop().time() - started < 5
    assert liar.posts <= 2
    assert client.provider_states() == {
        label_of(liar.url): ProviderState.rate_limited,
        label_of(honest.url): ProviderState.alive,
    }


async def test_f08_rate_limited__the_only_provider__waits_and_goes_on(
    liar: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url])
    assert await client.block("latest") is not None
    liar.add(Fault(Kind.rate_limited, value=1, times=1))
    started = asyncio.get_running_loop().time()
    assert await client.block("latest") is not None
    assert asyncio.get_running_loop().time() - started >= 1


async def test_f08_rate_limited__for_an_hour__raises_at_once(
    liar: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url])
    liar.add(Fault(Kind.rate_limited, value=3600))
    with pytest.raises(RateLimited) as caught:
        await client.block("latest")
    assert caught.value.retry_after is not None and caught.value.retry_after > 20


async def test_f08_slow__past_the_method_timeout__other_provider(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url, honest.url], timeouts=Timeouts(light=0.2))
    assert await client.remote_chain_id() == 31337
    liar.add(Fault(Kind.slow, value=2))
    assert await client.block("latest") is not None
    alone = make_client([liar.url], timeouts=Timeouts(light=0.2))
    with pytest.raises(Timeout):
        await alone.block("latest")


async def test_f09_wrong_chain__never_used(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    liar.add(Fault(Kind.wrong_chain, value=1))
    client = make_client([liar.url, honest.url])
    assert await client.remote_chain_id() == 1
    for _ in range(3):
        assert await client.block("latest") is not None
    assert set(liar.requests) == {"eth_chainId"}
    assert client.provider_states()[label_of(liar.url)] is ProviderState.wrong_chain
    alone = make_client([liar.url])
    for _ in range(2):
        with pytest.raises(WrongChain):
            await alone.block("latest")
    assert (await alone.send_raw(raw_transfer())).outcome is SendOutcome.unknown
    assert liar.requests["eth_sendRawTransaction"] == 0


async def test_f09_everybody_down__typed_error_without_the_url(make_client: MakeClient) -> None:
    key = "s3cr3tk3ys3cr3t"
    client = make_client([f"http://127.0.0.1:1/v2/{key}?token={key}"])
    with pytest.raises(Unreachable) as caught:
        await client.block("latest")
    assert caught.value.provider == "127.0.0.1:1"
    assert key not in str(caught.value) and key not in repr(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


async def test_error_that_echoes_the_key__cleaned(
    liar: FaultProxy, make_client: MakeClient
) -> None:
    key = "s3cr3tk3ys3cr3t"
    liar.add(Fault(Kind.error, value=(-32000, f"project {key} is\nnot known {'x' * 999}")))
    client = make_client([f"{liar.url}/v3/{key}"])
    with pytest.raises(RpcError) as caught:
        await client.block("latest")
    assert key not in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


async def test_f09_last_provider__after_many_failures__still_asked_and_heals(
    liar: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client([liar.url])
    assert await client.block("latest") is not None
    fault = liar.add(Fault(Kind.html))
    for _ in range(5):
        with pytest.raises(BadReply):
            await client.block("latest")
    assert client.provider_states()[label_of(liar.url)] is ProviderState.unreachable
    assert fault.struck >= 5
    liar.clear()
    assert await client.block("latest") is not None
    assert client.provider_states()[label_of(liar.url)] is ProviderState.alive


async def test_f03_head_jumps_back__provider_out_of_sync_and_asked_last(
    liar: FaultProxy, honest: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x64")
    client = make_client([liar.url, honest.url])
    second = client.second()
    assert second is not None and second.provider == label_of(honest.url)
    head = await second.block("latest")
    assert head is not None and head.number == 100
    liar.add(Fault(Kind.head_behind, value=50))
    old = await client.block("latest")
    assert old is not None and old.number == 50
    assert client.provider_states()[label_of(liar.url)] is ProviderState.out_of_sync
    head = await client.block("latest")
    assert head is not None and head.number == 100


async def test_f05_empty_logs__second_provider__tells(
    liar: FaultProxy, honest: FaultProxy, anvil: Anvil, make_client: MakeClient
) -> None:
    direct = make_client([anvil.rpc_url])
    logger = await deploy_logger(direct)
    await send(direct, to=logger, data=pay(ALICE, 7))
    liar.add(Fault(Kind.empty_logs))
    client = make_client([liar.url, honest.url])
    scan = client.pinned()
    assert scan.provider == label_of(liar.url)
    assert await scan.transfer_logs(0, 5, tokens=[logger], recipients=None) == []
    other = scan.second()
    assert other is not None and other.provider == label_of(honest.url)
    assert len(await other.transfer_logs(0, 5, tokens=[logger], recipients=None)) == 1
    for _ in range(3):
        client.doubt(label_of(liar.url))
    assert client.pinned().provider == label_of(honest.url)
    assert client.excluding(label_of(honest.url)).pinned().provider == label_of(liar.url)


async def test_pinned__its_provider_fails__does_not_wander(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    scan = make_client([liar.url, honest.url]).pinned()
    liar.add(Fault(Kind.html))
    with pytest.raises(BadReply):
        await scan.block("latest")
    assert honest.posts == 0


async def test_second__with_one_provider__none(liar: FaultProxy, make_client: MakeClient) -> None:
    client = make_client([liar.url])
    assert client.provider_count == 1
    assert client.second() is None


async def test_batch__items_fail_now_and_then__only_they_are_asked_again(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x32")
    client = make_client([liar.url])
    assert await client.remote_chain_id() == 31337
    fault = liar.add(Fault(Kind.null_block, times=7, share=0.5))
    headers = await client.headers(0, 50)
    assert [header.number for header in headers] == list(range(51))
    assert fault.struck == 7
    assert liar.requests["eth_getBlockByNumber"] == 51 + 7


@pytest.mark.parametrize("most", [0, 10])
async def test_batch__provider_takes_fewer__chunks_shrink_and_are_remembered(
    most: int, liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x32")
    liar.add(Fault(Kind.no_batches, value=most or None))
    client = make_client([liar.url])
    headers = await client.headers(0, 49)
    assert [header.number for header in headers] == list(range(50))
    before = liar.posts
    await client.headers(0, 49)
    assert liar.posts - before == (50 if most == 0 else 9)


async def test_batch__refused_for_a_moment__large_again_after_a_while(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    """Else each header of a catch-up is a request of its own until the daemon is started anew."""
    await dev_rpc.call("anvil_mine", "0x32")
    clock = AheadClock()
    client = make_client([liar.url], clock=clock)
    liar.add(Fault(Kind.no_batches))
    await client.headers(0, 49)
    liar.clear()
    for _ in range(8):
        clock.advance(601)
        await client.headers(0, 49)
    before = liar.posts
    await client.headers(0, 49)
    assert liar.posts - before == 1


async def test_batch__answer_too_large__smaller_chunks(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x10")
    client = make_client([liar.url])
    await client.block("latest")
    liar.add(Fault(Kind.status, value=413, times=2))
    liar.add(Fault(Kind.error, value=(-32003, "response too large"), times=3))
    assert [header.number for header in await client.headers(0, 16)] == list(range(17))


async def test_f14_send__connection_broke_once__same_provider_tells(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("evm_setAutomine", False)
    liar.add(Fault(Kind.swallowed, methods={"eth_sendRawTransaction"}, times=1))
    result = await make_client([liar.url]).send_raw(raw_transfer())
    assert result.outcome is SendOutcome.already_known


async def test_batch__of_a_hundred__is_one_http_request(
    honest: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x63")
    client = make_client([honest.url])
    await client.block("latest")
    before = honest.posts
    assert len(await client.headers(0, 99)) == 100
    assert honest.posts - before == 1


async def test_f06_batch__loses_an_item__asked_again(
    liar: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x5")
    client = make_client([liar.url])
    await client.block("latest")
    liar.add(Fault(Kind.missing_item, times=1))
    assert [header.number for header in await client.headers(0, 5)] == [0, 1, 2, 3, 4, 5]


async def test_f14_send__answer_lost__unknown_then_the_other_provider_knows_it(
    liar: FaultProxy, honest: FaultProxy, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("evm_setAutomine", False)
    raw = raw_transfer()
    liar.add(Fault(Kind.swallowed, methods={"eth_sendRawTransaction"}))
    assert (await make_client([liar.url]).send_raw(raw)).outcome is SendOutcome.unknown
    both = make_client([liar.url, honest.url])
    assert (await both.send_raw(raw)).outcome is SendOutcome.already_known


async def test_f14_send__refused_here_and_unknown_there__unknown(
    liar: FaultProxy, honest: FaultProxy, make_client: MakeClient
) -> None:
    liar.add(Fault(Kind.refused, methods={"eth_sendRawTransaction"}))
    honest.add(Fault(Kind.error, value=(-32000, "insufficient funds for transfer"), methods={"eth_sendRawTransaction"}))  # fmt: skip
    client = make_client([liar.url, honest.url])
    assert (await client.send_raw(raw_transfer())).outcome is SendOutcome.unknown


async def test_f14_send__hash_of_another_transaction__unknown(make_client: MakeClient) -> None:
    canned = {"eth_chainId": "0x7a69", "eth_sendRawTransaction": "0x" + "66" * 32}
    async with FaultProxy(canned=canned) as proxy:
        result = await make_client([proxy.url]).send_raw(raw_transfer())
    assert result.outcome is SendOutcome.unknown


async def test_logs_of_an_unknown_block__not_taken_for_no_logs(
    liar: FaultProxy, make_client: MakeClient
) -> None:
    with pytest.raises(RpcError):
        await make_client([liar.url]).transfer_logs_of_block(
            Hash32(b"\x66" * 32), tokens=None, recipients=None
        )


@pytest.mark.parametrize("seed", range(3))
async def test_f31_everything_at_once__half_of_all_requests__reads_stay_right(
    seed: int, anvil: Anvil, dev_rpc: DevRpc, make_client: MakeClient
) -> None:
    await dev_rpc.call("anvil_mine", "0x1e")
    right = await make_client([anvil.rpc_url]).headers(0, 30)
    async with (
        FaultProxy(anvil.rpc_url, seed=seed) as one,
        FaultProxy(anvil.rpc_url, seed=-seed - 1) as two,
    ):
        for proxy in (one, two):
            for kind in (
                Kind.html,
                Kind.truncated,
                Kind.dropped,
                Kind.null_block,
                Kind.wrong_height,
            ):
                proxy.add(Fault(kind, share=0.08))
        client = make_client([one.url, two.url])
        answered = 0
        for header in right:
            try:
                found = await client.block(header.number)
            except RpcError:
                continue
            # A null that both providers told at once is believed: it means "not yet".
            assert found is None or found == header
            answered += found is not None
        assert answered >= 25
