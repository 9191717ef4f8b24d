"""Objects as merchants see them: rows in, JSON-ready dictionaries out; pure.

The API's GET and the outbox's events use the same functions, so that a webhook
carries exactly what a GET would have answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from config.catalogue import Catalogue, Token
from config.money import FIAT_DECIMALS, format_amount
from config.units import checksum, to_hex
from ledger.invoice_state import together
from ledger.times import utc_text

Row = Mapping[str, Any]
NATIVE_DECIMALS: Final = 18
SEEN: Final = ("detected", "confirming", "confirmed")


SHOWN: Final = (
    "id", "invoice_id", "status", "reason", "held", "chain", "token", "token_address", "amount",
    "fee", "sender", "tx_hash", "log_index", "block_number", "payout_id", "detected_at",
    "confirmed_at",
)  # fmt: skip
"""Columns that a payment is shown with."""


def view_time(value: datetime | None) -> str | None:
    """RFC 3339, UTC, microseconds."""
    return None if value is None else utc_text(value)


def confirmations(payment: Row, cursor_block: int | None) -> int:
    """Blocks from the payment's own to the newest one processed, both included."""
    if payment["status"] not in (*SEEN, "ignored") or cursor_block is None:
        return 0
    return max(cursor_block - int(payment["block_number"]) + 1, 0)


def view_payment(payment: Row, catalogue: Catalogue, cursor_block: int | None) -> dict[str, Any]:
    """A payment; an unregistered token's amount is given in base units, its token is null."""
    token = catalogue.token_by_address(payment["chain"], payment["token_address"])
    decimals = token.decimals if token is not None else 0
    amount = int(payment["amount"])
    return {
        "id": payment["id"],
        "invoice": payment["invoice_id"],
        "status": payment["status"],
        "reason": payment["reason"],
        "held": payment["held"],
        "chain": payment["chain"],
        "token": payment["token"],
        "token_address": checksum(payment["token_address"]),
        "amount": format_amount(amount, decimals) if token is not None else str(amount),
        "fee": format_amount(int(payment["fee"]), decimals),
        "from": checksum(payment["sender"]),
        "tx_hash": to_hex(payment["tx_hash"]),
        "log_index": payment["log_index"],
        "block_number": payment["block_number"],
        "confirmations": confirmations(payment, cursor_block),
        "payout": payment["payout_id"],
        "detected_at": view_time(payment["detected_at"]),
        "confirmed_at": view_time(payment["confirmed_at"]),
    }


def view_payout(payout: Row, catalogue: Catalogue) -> dict[str, Any]:
    """A payout; ``batch`` is the number of the batch that carries it.

    Amounts of a token that was taken out of the configuration are in base units.
    """
    token = catalogue.find_token(payout["chain"], payout["token"])
    decimals = token.decimals if token is not None else 0
    batch = payout["batch_id"]
    return {
        "id": payout["id"],
        "kind": payout["kind"],
        "status": payout["status"],
        "reason": payout["reason"],
        "chain": payout["chain"],
        "token": payout["token"],
        "caip19": token.caip19 if token is not None else None,
        "amount": format_amount(int(payout["amount"]), decimals),
        "fee": format_amount(int(payout["fee"]), decimals),
        "address": checksum(payout["address"]),
        "invoice": payout["invoice_id"],
        "not_before": view_time(payout["not_before"]),
        "batch": None if batch is None else f"batch_{batch}",
        "tx_hash": None if payout["tx_hash"] is None else to_hex(payout["tx_hash"]),
        "created_at": view_time(payout["created_at"]),
        "paid_at": view_time(payout["paid_at"]),
    }


def view_invoice(
    invoice: Row,
    *,
    options: Sequence[Row],
    payments: Sequence[Row],
    payout_statuses: Mapping[str, str],
    cursors: Mapping[str, int],
    catalogue: Catalogue,
    public_url: str,
) -> dict[str, Any]:
    """An invoice with its options, every sighting (oldest first) and its settlement.

    :param payout_statuses: of the payouts that its payments went into.
    :param cursors: newest processed block by chain.
    """
    counted = [p for p in payments if p["status"] in SEEN and not p["held"]]
    seen = together([(int(p["value"]), rest_of(p, catalogue)) for p in counted])
    due = max(int(invoice["amount"]) - seen, 0)
    return {
        "id": invoice["id"],
        "status": invoice["status"],
        "exceptions": list(invoice["exceptions"]),
        "amount": format_amount(int(invoice["amount"]), FIAT_DECIMALS),
        "currency": invoice["currency"],
        "address": checksum(invoice["address"]),
        "options": [
            _view_option(option, token, invoice, counted, due)
            for option in sorted(options, key=lambda o: int(o["position"]))
            # A token that was taken out of the configuration is no longer offered.
            if (token := catalogue.find_token(option["chain"], option["token"])) is not None
        ],
        "payments": [
            view_payment(p, catalogue, cursors.get(p["chain"]))
            for p in sorted(payments, key=lambda p: str(p["id"]))
        ],
        "native_coin": [
            _view_native(chain, int(wei), catalogue)
            for chain, wei in sorted((invoice.get("native_coin") or {}).items())
        ],
        "reference": invoice["reference"],
        "metadata": invoice["metadata"],
        "redirect_url": invoice["redirect_url"],
        "created_at": view_time(invoice["created_at"]),
        "expires_at": view_time(invoice["expires_at"]),
        "monitor_until": view_time(invoice["monitor_until"]),
        "checkout_url": f"{public_url}/i/{invoice['id']}",
        "settlement": view_settlement(payments, payout_statuses),
    }


def rest_of(payment: Row, catalogue: Catalogue) -> int:
    """What its ``value`` in micros leaves out; of a token no longer configured, nothing."""
    token = catalogue.find_token(payment["chain"], payment["token"])
    return 0 if token is None else token.below_micros(int(payment["amount"]))


def _view_native(chain: str, wei: int, catalogue: Catalogue) -> dict[str, Any]:
    """Coin of a chain that lies at the address; of a chain no longer configured, in wei."""
    known = [c for c in catalogue.chains if c.name == chain]
    return {
        "chain": chain,
        "symbol": known[0].native_symbol if known else None,
        "amount": format_amount(wei, NATIVE_DECIMALS if known else 0),
    }


def _view_option(
    option: Row, token: Token, invoice: Row, counted: Sequence[Row], due: int
) -> dict[str, Any]:
    place = (option["chain"], option["token"])
    received = sum([int(p["amount"]) for p in counted if (p["chain"], p["token"]) == place])
    due_units = token.from_micros(due)
    return {
        "chain": token.chain,
        "chain_id": token.chain_id,
        "caip2": f"eip155:{token.chain_id}",
        "caip19": token.caip19,
        "token": token.symbol,
        "token_address": checksum(token.address),
        "decimals": token.decimals,
        "amount": format_amount(int(option["amount"]), token.decimals),
        "amount_received": format_amount(received, token.decimals),
        "amount_due": format_amount(due_units, token.decimals),
        "uri": payment_uri(token, invoice["address"], due_units or int(option["amount"])),
    }


def payment_uri(token: Token, recipient: bytes, amount: int) -> str:
    """EIP-681 request for an ERC-20 transfer: what the QR code holds."""
    return (
        f"ethereum:{checksum(token.address)}@{token.chain_id}/transfer"
        f"?address={checksum(recipient)}&uint256={amount}"
    )


def view_settlement(payments: Sequence[Row], payout_statuses: Mapping[str, str]) -> dict[str, Any]:
    """``none`` → ``due`` → ``scheduled`` → ``paid``: the least advanced part decides."""
    settled = [p for p in payments if p["status"] == "confirmed" and not p["held"]]
    ids = sorted({p["payout_id"] for p in settled if p["payout_id"] is not None})
    if not settled:
        status = "none"
    elif any(p["payout_id"] is None for p in settled):
        status = "due"
    elif all(payout_statuses.get(i) == "paid" for i in ids):
        status = "paid"
    else:
        status = "scheduled"
    return {"status": status, "payouts": ids}


API_VERSION: Final = "1"


def view_event(event: Row) -> dict[str, Any]:
    """An event; exactly these keys, in this order, are the body of its webhook."""
    return {
        "id": event["id"],
        "type": event["type"],
        "timestamp": view_time(event["created_at"]),
        "api_version": API_VERSION,
        "data": event["data"],
    }


def view_merchant(merchant: Row, terms: Mapping[str, Any]) -> dict[str, Any]:
    """A merchant with the payout terms that apply to it."""
    return {
        "id": merchant["id"],
        "name": merchant["name"],
        "payout": dict(terms),
        "next_settlement_at": view_time(merchant["next_settlement_at"]),
        "created_at": view_time(merchant["created_at"]),
    }


def view_api_key(key: Row) -> dict[str, Any]:
    """An API key without the key."""
    return {
        "id": key["id"],
        "name": key["name"],
        "created_at": view_time(key["created_at"]),
        "revoked_at": view_time(key["revoked_at"]),
    }


def view_destination(destination: Row, now: datetime) -> dict[str, Any]:
    """A payout destination; its cooling-off time ends by itself."""
    status = destination["status"]
    if status == "cooling_off" and destination["active_at"] <= now:
        status = "active"
    return {
        "id": destination["id"],
        "status": status,
        "chain": destination["chain"],
        "token": destination["token"],
        "address": checksum(destination["address"]),
        "created_at": view_time(destination["created_at"]),
        "active_at": view_time(destination["active_at"]),
        "revoked_at": view_time(destination["revoked_at"]),
    }


def view_endpoint(endpoint: Row) -> dict[str, Any]:
    """A webhook endpoint without its secret."""
    return {
        "id": endpoint["id"],
        "url": endpoint["url"],
        "events": endpoint["events"],
        "status": "deleted" if endpoint["deleted_at"] else endpoint["status"],
        "reason": endpoint["reason"],
        "created_at": view_time(endpoint["created_at"]),
    }


def view_delivery(delivery: Row) -> dict[str, Any]:
    """One event on its way to one endpoint; takes the event's ``id`` and ``type`` along."""
    pending = delivery["status"] == "pending"
    return {
        "id": f"del_{delivery['id']}",
        "endpoint": delivery["endpoint_id"],
        "event": delivery["event_id"],
        "type": delivery["type"],
        "object": delivery["object_id"],
        "status": delivery["status"],
        "attempts": delivery["attempts"],
        "response_status": delivery["response_status"],
        "error": delivery["error"],
        "next_attempt_at": view_time(delivery["next_attempt_at"]) if pending else None,
        "created_at": view_time(delivery["created_at"]),
        "delivered_at": view_time(delivery["delivered_at"]),
    }


def view_hold(hold: Row) -> dict[str, Any]:
    """Something that waits for an operator."""
    return {
        "id": hold["id"],
        "kind": hold["kind"],
        "object": {"type": hold["object_type"], "id": hold["object_id"]},
        "merchant": hold["merchant_id"],
        "reason": hold["reason"],
        "since": view_time(hold["since"]),
        "released_at": view_time(hold["released_at"]),
        "resolution": hold["resolution"],
    }


def view_entry(entry: Row, catalogue: Catalogue) -> dict[str, Any]:
    """A transfer between two accounts: what ``debit`` gets is what ``credit`` gives.

    Amounts of a token that was taken out of the configuration are in base units.
    """
    token = catalogue.find_token(entry["chain"], entry["token"])
    decimals = token.decimals if token is not None else 0
    return {
        "id": f"le_{entry['id']}",
        "kind": entry["kind"],
        "resolves": None if entry["pending_id"] is None else f"le_{entry['pending_id']}",
        "reason": entry["reason"],
        "object": entry["object_id"],
        "chain": entry["chain"],
        "token": entry["token"],
        "amount": format_amount(int(entry["amount"]), decimals),
        "debit": entry["debit"],
        "credit": entry["credit"],
        "created_at": view_time(entry["created_at"]),
    }
