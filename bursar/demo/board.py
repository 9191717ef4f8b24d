"""What the demo knows at this moment; the views only read it.

Filled by the observer (blocks, invoices, payouts), the webhook receiver and the
acts (the story). A change is also told to ``listener`` as one plain line, which
is all that is shown where there is no terminal.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bursar.demo.story import SHOPS, Scene

Json = Mapping[str, Any]
KEPT_BLOCKS: Final = 64


@dataclass(frozen=True, slots=True)
class BlockCell:
    """One block as it was seen; ``gone`` once another one took its height."""

    number: int
    hash: str
    transactions: int
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Links:
    """Where to look; empty until the daemon answers."""

    api: str
    checkout: str = ""
    rpc: str = ""
    log: str = ""


@dataclass(slots=True)
class Board:
    """State of the show."""

    listener: Callable[[str], None] = lambda _line: None
    links: Links | None = None
    now: str = "getting ready"
    past: list[str] = field(default_factory=list)
    blocks: deque[BlockCell] = field(default_factory=lambda: deque(maxlen=KEPT_BLOCKS))
    scenes: dict[str, Scene] = field(default_factory=dict)
    """By invoice id, in the order in which they were opened."""
    invoices: dict[str, Json] = field(default_factory=dict)
    payouts: dict[str, tuple[int, Json]] = field(default_factory=dict)
    """Shop and payout, by id."""
    webhooks: Counter[str] = field(default_factory=Counter)
    webhooks_refused: int = 0
    webhooks_repeated: int = 0

    def tell(self, text: str) -> None:
        """The next sentence of the story; the one before is past."""
        if self.now:
            self.past.append(self.now)
        self.now = text
        self.listener(text)

    def invoice_of(self, key: str) -> Json | None:
        """The invoice of a scene as last seen."""
        for invoice_id, scene in self.scenes.items():
            if scene.key == key:
                return self.invoices.get(invoice_id)
        return None

    def note_invoice(self, invoice: Json) -> None:
        """Take in what the API says of an invoice."""
        scene = self.scenes.get(invoice["id"])
        if scene is None:
            return
        before = self.invoices.get(invoice["id"])
        self.invoices[invoice["id"]] = invoice
        if before is None or _face(before) != _face(invoice):
            self.listener(f"  {SHOPS[scene.shop]}, {scene.title}: {_face(invoice)}")

    def note_payout(self, shop: int, payout: Json) -> None:
        """Take in what the API says of a payout."""
        before = self.payouts.get(payout["id"])
        self.payouts[payout["id"]] = (shop, payout)
        if before is None or before[1]["status"] != payout["status"]:
            amount = f"{payout['amount']} {payout['token']}"
            self.listener(f"  payout to {SHOPS[shop]}: {amount}, {payout['status']}")

    def note_block(self, number: int, block_hash: str, transactions: int) -> None:
        """Take in a block; what stood at its height or above has left the chain."""
        gone = [b for b in self.blocks if b.number >= number and not b.gone]
        if any(b.hash == block_hash for b in gone):
            return
        if gone:
            heights = " and ".join(str(b.number) for b in gone)
            self.listener(f"  block {heights} left the chain")
            kept = [_gone(b) if b in gone else b for b in self.blocks]
            self.blocks = deque(kept, maxlen=KEPT_BLOCKS)
        self.blocks.append(BlockCell(number, block_hash, transactions))


def _gone(block: BlockCell) -> BlockCell:
    return BlockCell(block.number, block.hash, block.transactions, gone=True)


def _face(invoice: Json) -> str:
    """Status and labels, and how each payment stands."""
    labels = f" ({', '.join(invoice['exceptions'])})" if invoice["exceptions"] else ""
    stands = ", ".join(p["status"] for p in invoice["payments"])
    return f"{invoice['status']}{labels}" + (f"; payments: {stands}" if stands else "")
