"""The story as data: who sells, who pays what, and what must come out of it. Pure.

Everything that is asserted at the end follows from here, from no answer of the
daemon: how each invoice must end, and what each shop must hold to the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

FEE_BPS: Final = 50
CONFIRMATIONS: Final = 3
SHOPS: Final = ("Corner Shop", "Paper & Ink")


@dataclass(frozen=True, slots=True)
class Coin:
    """A token of the demo's chain: a committed test contract and its constructor's arguments."""

    symbol: str
    decimals: int
    contract: str
    arguments: tuple[str, ...] = ()

    def units(self, text: str) -> int:
        """Whole units as text to base units, with as many decimals as the token has."""
        whole, _, fraction = text.partition(".")
        assert len(fraction) <= self.decimals, f"{text} is finer than {self.symbol}"
        return int(whole + fraction.ljust(self.decimals, "0"))


COINS: Final = (
    Coin("USDC", 6, "UsdcLike", ("USD Coin", "USDC")),
    Coin("USDT", 6, "UsdtLike"),
    Coin("DAI", 18, "DaiLike"),
)
BY_SYMBOL: Final = {coin.symbol: coin for coin in COINS}

Act = Literal["plain", "late", "look-alike", "poison", "reorg", "bulk"]


@dataclass(frozen=True, slots=True)
class Scene:
    """One invoice: what is asked, what the customer does, and how it must end.

    :param shop: index into :data:`SHOPS`.
    :param amount: USD asked.
    :param pays: whole units of ``coin``, one text per transfer that must be credited.
    :param ignored: reason of the one payment that must be recorded and not credited.
    """

    key: str
    title: str
    shop: int
    amount: str
    coin: str
    pays: tuple[str, ...]
    act: Act = "plain"
    status: str = "paid"
    exceptions: tuple[str, ...] = ()
    ignored: str | None = None
    expires_in: str = "30m"

    @property
    def units(self) -> tuple[int, ...]:
        """What each credited transfer moves, in base units."""
        return tuple(BY_SYMBOL[self.coin].units(text) for text in self.pays)


SCENES: Final = (
    Scene("exact", "pays exactly", 0, "25.00", "USDC", ("25",)),
    Scene("parts", "pays in two parts", 0, "40.00", "USDT", ("15", "25")),
    Scene(
        "over",
        "pays too much",
        0,
        "20.00",
        "DAI",
        ("20.123456789012345678",),
        exceptions=("overpaid",),
    ),
    Scene("short", "a cent too little", 1, "9.00", "USDC", ("8.99",), status="partially_paid"),
    Scene(
        "late",
        "pays too late",
        1,
        "12.00",
        "USDT",
        ("12",),
        act="late",
        exceptions=("late",),
        expires_in="2s",
    ),
    Scene(
        "look-alike",
        "pays in a fake USDC",
        1,
        "30.00",
        "USDC",
        (),
        act="look-alike",
        status="new",
        exceptions=("wrong_token",),
        ignored="unsupported_token",
    ),
    Scene(
        "poison",
        "poisoned with a zero",
        0,
        "15.00",
        "USDC",
        (),
        act="poison",
        status="new",
        ignored="zero_value",
    ),
    Scene("reorg", "caught in a reorg", 1, "60.00", "DAI", ("60",), act="reorg"),
    Scene("bulk-1", "three in one payment", 0, "7.50", "USDC", ("7.5",), act="bulk"),
    Scene("bulk-2", "three in one payment", 1, "11.00", "USDC", ("11",), act="bulk"),
    Scene("bulk-3", "three in one payment", 1, "3.25", "USDC", ("3.25",), act="bulk"),
)
LOOK_ALIKE_UNITS: Final = 30_000_000


def fee_of(units: int) -> int:
    """What the house keeps of one payment, rounded down; written here again on purpose."""
    return units * FEE_BPS // 10_000


@dataclass(frozen=True, slots=True)
class Promise:
    """What must have happened to one coin when the round is over, in base units.

    :param paid: by shop, fees taken off.
    """

    received: int
    fees: int
    paid: tuple[int, ...]


def promise(coin: Coin, scenes: tuple[Scene, ...] = SCENES) -> Promise:
    """Add up what the scenes move of one coin."""
    moves = [
        (scene.shop, units)
        for scene in scenes
        if scene.coin == coin.symbol
        for units in scene.units
    ]
    return Promise(
        received=sum(units for _, units in moves),
        fees=sum(fee_of(units) for _, units in moves),
        paid=tuple(
            sum(units - fee_of(units) for shop, units in moves if shop == index)
            for index in range(len(SHOPS))
        ),
    )
