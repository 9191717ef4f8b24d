"""The road of money for installations whose daemon has no deposit keys."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from tests.support.tokens import balance_of
from tests.support.world import ADMIN_KEY, Merchant, World

PASSPHRASE = "a passphrase for tests only"


def bare_environment() -> dict[str, str]:
    """This process's, without what would configure a daemon, and with the keystore's passphrase."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BURSAR_")}
    return {**kept, "BURSAR_KEYSTORE_PASSPHRASE": PASSPHRASE}


@dataclass
class WithoutDepositSeed(World):
    """A daemon whose keystore holds the keys of sponsors and treasury, and no deposit seed."""

    keystore: ClassVar[str]
    deposits: ClassVar[str]
    """``wallets.deposits``: where its addresses come from."""

    def environment(self) -> dict[str, str]:
        return {
            **bare_environment(),
            "BURSAR_CONFIG": str(self.folder / "bursar.toml"),
            "BURSAR_ADMIN_KEY": ADMIN_KEY,
            "BURSAR_WALLETS__SIGNER": "keystore",
            "BURSAR_WALLETS__KEYSTORE": str(self.folder / self.keystore),
            "BURSAR_WALLETS__DEPOSITS": self.deposits,
        }


async def sold_twice_at_one_address(world: World) -> tuple[Merchant, str]:
    """Pay an invoice, settle, pay it again, settle: a first and a repeat sweep, exact.

    :returns: the merchant, and the invoice's address.
    """
    alpha = await world.merchant("Alpha", 1)

    async def opened() -> dict[str, str] | None:
        """Once settlement has found on chain what collects from its addresses."""
        body = {"amount": "10", "currency": "USD"}
        status, answer = await alpha.api.raw("POST", "/v1/invoices", body)
        return answer if status == 201 else None

    first = await world.until(opened, "an invoice can be opened")
    for round_ in (1, 2):
        await world.pay(first, "USDC", "10")
        await world.invoice_status(alpha, first, "paid")

        async def credited(expected: int = round_) -> bool:
            payments = await alpha.api.all("/v1/payments")
            return [p["status"] for p in payments] == ["confirmed"] * expected

        await world.until(credited, "the payment is confirmed")
        await world.admin.post("/v1/admin/payouts/run", {})
        await world.settled([alpha])
    paid = await balance_of(world.rpc, world.tokens["USDC"].address, alpha.destination)
    assert paid == 20_000000
    status, out, err = await world.bursar("reconcile", "--json")
    assert status == 0, (out, err)
    return alpha, first["address"]
