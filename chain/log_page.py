"""A reply of very many logs, of which only a few are of interest: read light, built late.

Of each log two fields are decoded (where it is, whom it names); the few that are kept
are found again in the reply's bytes and decoded whole. A log is a flat JSON object and
its values are hexadecimal, so that the braces around a topic are the log's own; where
that does not hold, everything is decoded whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from chain.codec import LogRow
from chain.rpc.wire import Reply, Shape

_MANY: Final = 50
"""From one log in so many on, decoding all of them whole is cheaper than looking for each."""
_WINDOW: Final = 16 * 1024


class SlimTopics(msgspec.Struct, gc=False, array_like=True):
    """The first three topics, as far as there are any.

    A list would be watched by the garbage collector, which then walks through all of the
    process's objects again and again while a long reply is decoded: a third of a scan's time.
    """

    event: str = ""
    second: str = ""
    third: str = ""


class SlimLog(msgspec.Struct, gc=False, rename="camel"):
    """As much of a log as tells whether it is worth more."""

    topics: SlimTopics
    block_number: str


_SLIM: Final = msgspec.json.Decoder(Reply[list[SlimLog]])
_WHOLE: Final = msgspec.json.Decoder(Reply[list[LogRow]])
_ONE: Final = msgspec.json.Decoder(LogRow)


class LogPage:
    """Logs of one reply; ``rows`` and :meth:`whole` number them alike."""

    __slots__ = ("_body", "rows")

    def __init__(self, rows: Sequence[SlimLog | LogRow], body: bytes | None) -> None:
        """:param body: the reply that holds the rows; ``None``: they are whole already."""
        self.rows = rows
        self._body = body

    def whole(self, wanted: Sequence[int]) -> list[LogRow]:
        """The logs at these positions, every field decoded.

        :raises ValueError: one of them is no log (a pending one, a field of another type).
        """
        if self._body is None:
            return [cast(LogRow, self.rows[i]) for i in wanted]
        if len(wanted) * _MANY <= len(self.rows):
            found = self._cut_out(self._body, wanted)
            if found is not None:
                return found
        try:
            every = _WHOLE.decode(self._body).result
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)[:160]) from None
        assert isinstance(every, list)
        return [every[i] for i in wanted]

    def _cut_out(self, body: bytes, wanted: Sequence[int]) -> list[LogRow] | None:
        """Each wanted log's own bytes; ``None`` where they cannot be told for certain.

        Logs that name the same third topic are told apart by their order.
        """
        same: dict[str, list[int]] = defaultdict(list)
        for i in wanted:
            same[third_topic(self.rows[i])].append(i)
        found: dict[int, LogRow] = {}
        for topic, places in same.items():
            if len(places) > 1:
                return None
            (i,) = places
            slim = self.rows[i]
            assert isinstance(slim, SlimLog)
            row = _near(body, topic.encode(), len(body) * i // len(self.rows), slim)
            if row is None:
                return None
            found[i] = row
        return [found[i] for i in wanted]


def third_topic(row: SlimLog | LogRow) -> str:
    """Of a Transfer: the recipient, padded; ``""`` where there are fewer than three."""
    if isinstance(row, SlimLog):
        return row.topics.third
    return row.topics[2] if len(row.topics) > 2 else ""


def _near(body: bytes, topic: bytes, guess: int, slim: SlimLog) -> LogRow | None:
    """The log that names ``topic``, looked for around ``guess`` in ever wider circles."""
    window = _WINDOW
    while True:
        start, end = max(0, guess - window), min(len(body), guess + window)
        at = body.find(topic, start, end)
        while at >= 0:
            row = _around(body, at)
            if row is not None and _is_same(row, slim):
                return row
            at = body.find(topic, at + 1, end)
        if start == 0 and end == len(body):
            return None
        window *= 8


def _is_same(row: LogRow, slim: SlimLog) -> bool:
    topics = slim.topics
    return row.block_number == slim.block_number and row.topics[:3] == [
        topics.event,
        topics.second,
        topics.third,
    ]


def _around(body: bytes, at: int) -> LogRow | None:
    opening, closing = body.rfind(b"{", 0, at), body.find(b"}", at)
    try:
        return _ONE.decode(body[opening : closing + 1])
    except msgspec.MsgspecError:
        return None


class _PageDecoder:
    """What a :class:`~chain.rpc.wire.Shape` calls to read a single reply."""

    def decode(self, body: bytes) -> Reply[Any]:
        """:raises msgspec.MsgspecError: as the decoder that it stands for."""
        reply: Reply[Any] = _SLIM.decode(body)
        if isinstance(reply.result, list):
            reply.result = LogPage(reply.result, body)
        return reply


class PageShape(Shape):
    """Replies whose result becomes a :class:`LogPage`."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(list[LogRow])
        self.one = cast("msgspec.json.Decoder[Reply[Any]]", _PageDecoder())


def as_page(result: LogPage | list[LogRow]) -> LogPage:
    """A batch's items are decoded whole."""
    return result if isinstance(result, LogPage) else LogPage(result, None)
