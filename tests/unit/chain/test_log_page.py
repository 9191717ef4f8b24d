"""A reply read light: the logs that are kept come out whole, and are the right ones."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from chain.calls import LOG_PAGE, LOGS
from chain.codec import LogRow
from chain.log_page import LogPage
from chain.model import TRANSFER_TOPIC

TOPIC = "0x" + TRANSFER_TOPIC.hex()


def log(number: int, to: int, **changes: Any) -> dict[str, Any]:
    return {
        "address": "0x" + "11" * 20,
        "topics": [TOPIC, "0x" + "22" * 32, f"0x{to:064x}"],
        "data": f"0x{number:064x}",
        "blockNumber": hex(100 + number // 200),
        "blockHash": "0x" + "33" * 32,
        "transactionHash": f"0x{number:064x}",
        "transactionIndex": "0x0",
        "logIndex": hex(number),
        "removed": False,
        **changes,
    }


def page_of(logs: list[dict[str, Any]], spaces: bool = False) -> tuple[LogPage, list[LogRow]]:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": logs})
    if spaces:
        body = msgspec.json.format(body, indent=2)
    page = LOG_PAGE.one.decode(body).result
    every = LOGS.one.decode(body).result
    assert isinstance(page, LogPage) and isinstance(every, list)
    return page, every


@pytest.mark.parametrize("spaces", [False, True])
def test_whole__few_of_many__same_as_decoding_everything(spaces: bool) -> None:
    dice = random.Random(3)
    page, every = page_of([log(i, dice.getrandbits(160)) for i in range(5_000)], spaces)
    wanted = sorted(dice.sample(range(5_000), 20))
    assert page.whole(wanted) == [every[i] for i in wanted]
    assert page.whole([0, 4_999]) == [every[0], every[4_999]]
    assert page.whole(range(5_000)) == every


def test_whole__same_recipient_twice__both_in_order() -> None:
    logs = [log(i, i) for i in range(1_000)]
    logs[400] = log(400, 7)
    page, every = page_of(logs)
    assert page.whole([7, 400]) == [every[7], every[400]]


def test_f23_whole__text_of_the_topic_elsewhere__not_mistaken() -> None:
    """Strangers write our address into their data, their sender, and braces into odd fields."""
    logs = [log(i, i) for i in range(1_000)]
    ours = logs[500]["topics"][2]
    for i in (498, 499, 501):
        logs[i] = log(i, i, data=ours)
    logs[497]["topics"][1] = ours
    logs[496] = log(496, 496, note={"of": ours})
    page, every = page_of(logs)
    assert page.whole([500]) == [every[500]]
    logs[500]["note"] = "}{"
    page, every = page_of(logs)
    assert page.whole([500]) == [every[500]]


def test_whole__a_pending_log__refused() -> None:
    page, _ = page_of([log(i, i) for i in range(1_000)])
    logs = [log(i, i) for i in range(1_000)]
    logs[3]["blockHash"] = None
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": logs})
    page = LOG_PAGE.one.decode(body).result
    with pytest.raises(ValueError):
        page.whole([3])


def test_page__block_number_missing__refused_at_once() -> None:
    bad = log(1, 1)
    del bad["blockNumber"]
    with pytest.raises(msgspec.ValidationError):
        LOG_PAGE.one.decode(msgspec.json.encode({"id": 1, "result": [bad]}))
