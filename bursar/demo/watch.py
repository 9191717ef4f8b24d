"""Looking on: new blocks from the chain, invoices and payouts from the API, onto the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bursar.demo.api import Api
from bursar.demo.board import KEPT_BLOCKS, Board
from bursar.demo.street import Street
from config.clock import Clock

_BLOCKS_SECONDS: Final = 0.25
_SHOPS_SECONDS: Final = 0.4


class Observer:
    """Reads only; what the acts wait for is what it puts on the board."""

    def __init__(self, street: Street, board: Board, clock: Clock) -> None:
        self._street = street
        self._board = board
        self._clock = clock

    async def blocks(self) -> None:
        """Follow the chain for ever."""
        while True:
            await self._look_at_blocks()
            await self._clock.sleep(_BLOCKS_SECONDS)

    async def shops(self, api: Api, keys: Sequence[str]) -> None:
        """Follow what each shop sees, for ever."""
        while True:
            for shop, key in enumerate(keys):
                for invoice in await api.every("/v1/invoices", key):
                    self._board.note_invoice(invoice)
                for payout in await api.every("/v1/payouts", key):
                    self._board.note_payout(shop, payout)
            await self._clock.sleep(_SHOPS_SECONDS)

    async def _look_at_blocks(self) -> None:
        head = await self._street.head()
        known = {b.number: b.hash for b in self._board.blocks if not b.gone}
        fresh = []
        for number in range(head, max(head - KEPT_BLOCKS, -1), -1):
            block = await self._street.block(number)
            if block is None:  # a reorg has just made the chain shorter
                continue
            if known.get(number) == block["hash"]:
                break
            fresh.append(block)
            if not known:
                break
        for block in reversed(fresh):
            self._board.note_block(
                int(block["number"], 16), block["hash"], len(block["transactions"])
            )
