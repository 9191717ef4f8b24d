"""The checkout page in a real browser, with and without scripts."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from config.settings import HttpSettings
from config.units import Address, Amount
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import record_sightings
from ledger.pulses import invoice_pulses
from ledger.schema import invoices
from ledger.states import PaymentStatus
from tests.support.books import PAYER, USDC, digest
from tests.support.door import Door, door_settings, open_door

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@asynccontextmanager
async def browser(**context: Any) -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        opened = await chromium.new_context(viewport={"width": 390, "height": 844}, **context)
        try:
            yield await opened.new_page()
        finally:
            await chromium.close()


async def pay(door: Door, invoice: dict[str, Any], units: int, status: PaymentStatus) -> None:
    """What the watcher would write."""
    touched, now = Touched(), door.deps.clock.now()
    sighting = Sighting(
        chain="anvil",
        token_address=USDC,
        sender=PAYER,
        recipient=Address(bytes.fromhex(invoice["address"][2:])),
        amount=Amount(units),
        tx_hash=digest("tx", units, status),
        ordinal=0,
        log_index=0,
        block_number=1,  # type: ignore[arg-type]
        block_hash=digest("block", 1),
        block_time=now,
    )
    async with door.ledger.transaction() as tx:
        await record_sightings(tx, [sighting], PaymentPolicy(), touched)
        if status is PaymentStatus.CONFIRMED:
            moves = [PaymentMove(p, status) for p in await open_payments(tx, "anvil")]
            await move_payments(tx, moves, PaymentPolicy(), touched)
        await refresh_invoices(tx, touched.ids, Tolerance())


@needs_browser
async def test_checkout__paid_while_it_is_open__changes_by_itself(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key, amount="7.5", redirect_url="https://shop.example/thanks")
    async with browser() as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{door.base}/i/{invoice['id']}")
        assert await page.inner_text(".headline") == "Awaiting payment"
        assert "7.50" in await page.inner_text("h1")
        assert await page.inner_text(".panel:visible .address") == invoice["address"]
        assert await page.locator(".panel:visible svg.qr").count() == 1
        assert (await page.inner_text(".time")).startswith("Pay within ")
        await page.click("text=DAI")
        assert (
            await page.get_attribute(".panel:visible .code", "href") == invoice["options"][2]["uri"]
        )
        await pay(door, invoice, 5_000_000, PaymentStatus.DETECTED)
        await page.wait_for_selector(".headline:text-is('Partly paid')")
        assert await page.inner_text(".panel:visible .amount") == "2.50"
        assert "DAI" in await page.inner_text(".panel:visible .token"), "the choice is kept"
        await pay(door, invoice, 2_500_000, PaymentStatus.CONFIRMED)
        await page.wait_for_selector(".headline:text-is('Paid')")
        assert await page.locator(".panel").count() == 0
        assert await page.get_attribute(".back a", "href") == "https://shop.example/thanks"
        assert not said, "nothing was refused by the page's own policy"
        assert all(url.startswith(door.base) for url in asked), "nothing from elsewhere"


@needs_browser
@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_checkout__change_cannot_be_fetched__asked_for_again_until_it_is_shown(
    door: Door,
) -> None:
    """A page that stayed as it was would ask for money that has come."""
    key = await door.merchant()
    invoice = await door.invoice(key)
    async with browser() as page:
        await page.goto(f"{door.base}/i/{invoice['id']}")
        await page.wait_for_function("document.readyState === 'complete'")
        failed: list[str] = []

        async def fails_twice(route: Any) -> None:
            failed.append(route.request.url)
            if len(failed) == 1:
                await route.abort()
            elif len(failed) == 2:
                await route.fulfill(status=503, body="busy")
            else:
                await route.continue_()

        await page.route(f"**/i/{invoice['id']}", fails_twice)
        await pay(door, invoice, 10_000_000, PaymentStatus.DETECTED)
        await page.wait_for_selector(".headline:text-is('Payment received')", timeout=15_000)
        assert len(failed) == 3
        assert await page.locator(".panel").count() == 0


@needs_browser
async def test_checkout__without_scripts__everything_to_pay_is_there(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(key)
    async with browser(java_script_enabled=False, color_scheme="dark") as page:
        await page.goto(f"{door.base}/i/{invoice['id']}")
        assert await page.locator(".panel:visible").count() == 1
        await page.click("label:has-text('USDT')")
        assert "USDT" in await page.inner_text(".panel:visible .token")
        assert await page.inner_text(".panel:visible .address") == invoice["address"]
        assert await page.locator("noscript meta[http-equiv=refresh]").count() == 1
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_checkout__text_of_the_page__nothing_of_the_merchants_own(door: Door) -> None:
    key = await door.merchant()
    invoice = await door.invoice(
        key,
        reference="secret-order",
        metadata={"customer": "secret-name"},
        redirect_url="https://shop.example/?a=1&b=%22%3E%3Cscript%3E",
    )
    page = await door.call("GET", f"/i/{invoice['id']}")
    assert page.status == 200
    assert "secret" not in page.body
    assert "<script>" not in page.body
    assert "style=" not in page.body
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("checkout.css", "checkout.js", "icon.svg", "docs.css"):
        asset = await door.call("GET", f"/assets/{name}")
        assert (asset.status, asset.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert (await door.call("GET", "/assets/../app.py")).status == 404
    docs = await door.call("GET", "/docs")
    assert docs.status == 200
    assert "/v1/payout-destinations" in docs.body


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_checkout__public_url_has_a_path__pages_find_their_files_under_it(
    migrated_url: str,
) -> None:
    """As a proxy has it that takes the path away."""
    url = "https://shop.example/pay"
    below = door_settings().model_copy(update={"http": HttpSettings(public_url=url)})
    async with open_door(migrated_url, below) as door:
        invoice = await door.invoice(await door.merchant())
        assert invoice["checkout_url"] == f"{url}/i/{invoice['id']}"
        for path in (f"/i/{invoice['id']}", "/i/nothing", "/docs"):
            page = (await door.call("GET", path)).body
            own = re.findall(r'(?:href|src)="(/[^"#]*)"', page)
            assert own, path
            assert all(link.startswith("/pay/") for link in own), own
            assert (await door.call("GET", own[0].removeprefix("/pay"))).status == 200


async def test_checkout__each_state__is_told(door: Door) -> None:
    key = await door.merchant()

    async def headline(invoice: dict[str, Any]) -> str:
        body = (await door.call("GET", f"/i/{invoice['id']}")).body
        return str(body.split('class="headline">')[1].split("<")[0])

    async def past_deadline(invoice: dict[str, Any]) -> None:
        async with door.ledger.transaction() as tx:
            await tx.conn.execute(
                invoices.update()
                .where(invoices.c.id == invoice["id"])
                .values(expires_at=tx.now - timedelta(seconds=1))
            )

    seen = await door.invoice(key)
    await pay(door, seen, 10_000_000, PaymentStatus.DETECTED)
    assert await headline(seen) == "Payment received"
    partly = await door.invoice(key)
    await pay(door, partly, 4_000_000, PaymentStatus.DETECTED)
    assert await headline(partly) == "Partly paid"
    await past_deadline(partly)
    assert await headline(partly) == "Not fully paid in time"
    late = await door.invoice(key)
    await past_deadline(late)
    assert await headline(late) == "Expired", "before anybody marked it so"
    canceled = await door.invoice(key)
    await door.call("POST", f"/v1/invoices/{canceled['id']}/cancel", key=key)
    assert await headline(canceled) == "Canceled"
    in_part = await door.invoice(key)
    await pay(door, in_part, 3_000_000, PaymentStatus.DETECTED)
    async with door.ledger.reading() as tx:
        before = await invoice_pulses(tx, [in_part["id"]])
    await door.call("POST", f"/v1/invoices/{in_part['id']}/cancel", key=key)
    async with door.ledger.reading() as tx:
        assert await invoice_pulses(tx, [in_part["id"]]) != before, "open pages are told"
    assert await headline(in_part) == "Canceled", "nobody is asked for the rest"
    page = (await door.call("GET", f"/i/{in_part['id']}")).body
    assert "ethereum:" not in page
    assert "data-settled" not in page
    async with door.ledger.transaction() as tx:
        await tx.conn.execute(
            sa.update(invoices)
            .where(invoices.c.id == canceled["id"])
            .values(invalid=True, status="invalid")
        )
    assert await headline(canceled) == "Not payable"


@needs_browser
@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_checkout__events_refused__asked_for_again_and_the_page_is_up_to_date(
    door: Door,
) -> None:
    """Browsers give an event stream up for good once it is refused."""
    key = await door.merchant()
    invoice = await door.invoice(key)
    async with browser() as page:
        refused: list[str] = []

        async def refuses_twice(route: Any) -> None:
            refused.append(route.request.url)
            if len(refused) <= 2:
                await route.fulfill(status=503, body="busy")
            else:
                await route.continue_()

        await page.route("**/events", refuses_twice)
        await page.clock.install()
        async with page.expect_response("**/events"):
            await page.goto(f"{door.base}/i/{invoice['id']}")
        await pay(door, invoice, 4_000_000, PaymentStatus.DETECTED)
        async with page.expect_response("**/events"):
            await page.clock.run_for(10_000)
        await page.wait_for_selector(".headline:text-is('Partly paid')")
        async with page.expect_request("**/events"):
            await page.clock.run_for(10_000)
        await pay(door, invoice, 6_000_000, PaymentStatus.DETECTED)
        await page.wait_for_selector(".headline:text-is('Payment received')")
        assert len(refused) == 3


async def test_checkout_events__server_stops__stream_ends_at_once(door: Door) -> None:
    from gateway.stopping import STOPPING

    key = await door.merchant()
    invoice = await door.invoice(key)
    async with door.session.get(f"{door.base}/i/{invoice['id']}/events") as response:
        assert response.content_type == "text/event-stream"
        assert (await response.content.readline()) == b"event: state\n"
        door.app[STOPPING].set()
        rest = await response.content.read()
    assert rest.startswith(b"data: ")
