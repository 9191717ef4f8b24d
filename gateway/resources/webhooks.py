"""Webhook endpoints, their secrets and deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway import answers
from gateway.cursors import number_of
from gateway.operation import Call, JsonObject, Operation
from gateway.problems import Code, ProblemError
from gateway.requests import DeliveryPage, Empty, NewEndpoint, Page
from gateway.webhooks.targets import check_target
from gateway.webhooks.vault import Vault, new_secret
from ledger import webhooks
from ledger.store import Tx
from ledger.views import view_endpoint

MAX_ENDPOINTS: Final = 20
OVERLAP: Final = timedelta(hours=24)
"""How long the secret of before goes on signing beside a new one."""


async def create(call: Call, tx: Tx) -> JsonObject:
    """Register an endpoint; its secret is shown once."""
    given, deps = call.given(NewEndpoint), call.deps
    check_target(given.url, allow_private=deps.settings.security.allow_private_webhooks)
    if await webhooks.count_endpoints(tx, call.merchant_id) >= MAX_ENDPOINTS:
        raise ProblemError(
            Code.CONFLICT, f"there are {MAX_ENDPOINTS} webhook endpoints already: delete one"
        )
    endpoint_id, secret = tx.new_id("we"), new_secret(tx.entropy)
    sealed = Vault(deps.data_key).seal(secret, endpoint_id, tx.entropy)
    types = None if given.events is None else tuple(given.events)
    new = webhooks.NewEndpoint(given.url, types, sealed)
    await webhooks.create_endpoint(tx, call.merchant_id, endpoint_id, new)
    row = await webhooks.endpoint_row(tx, call.merchant_id, endpoint_id)
    return {**view_endpoint(row), "secret": secret}


async def get(call: Call) -> JsonObject:
    """One endpoint, without its secret."""
    endpoint_id = call.path_id("we")
    async with call.deps.ledger.reading() as tx:
        return view_endpoint(await webhooks.endpoint_row(tx, call.merchant_id, endpoint_id))


async def list_own(call: Call) -> JsonObject:
    """All endpoints."""
    page = call.asked(Page)
    async with call.deps.ledger.reading() as tx:
        data, cursor = await webhooks.list_endpoints(
            tx, call.merchant_id, limit=page.limit, cursor=page.cursor
        )
    return {"data": data, "next_cursor": cursor}


async def delete(call: Call, tx: Tx) -> JsonObject:
    """Deliver nothing there any more."""
    return await webhooks.delete_endpoint(tx, call.merchant_id, call.path_id("we"))


async def rotate(call: Call, tx: Tx) -> JsonObject:
    """A new secret; for a day the old one signs, too: the receiver changes over in peace."""
    endpoint_id, secret = call.path_id("we"), new_secret(tx.entropy)
    sealed = Vault(call.deps.data_key).seal(secret, endpoint_id, tx.entropy)
    row = await webhooks.rotate_secret(tx, call.merchant_id, endpoint_id, sealed, OVERLAP)
    return {**view_endpoint(row), "secret": secret}


async def deliveries(call: Call) -> JsonObject:
    """What was and will be sent to one endpoint."""
    page = call.asked(DeliveryPage)
    before = None if page.cursor is None else number_of(page.cursor, "del")
    async with call.deps.ledger.reading() as tx:
        data, cursor = await webhooks.list_deliveries(
            tx,
            call.merchant_id,
            call.path_id("we"),
            limit=page.limit,
            before=before,
            status=page.status,
        )
    return {"data": data, "next_cursor": cursor}


async def redeliver(call: Call, tx: Tx) -> JsonObject:
    """Send an event again to every endpoint that wants it."""
    event_id = call.path_id("evt")
    return {"id": event_id, "deliveries": await webhooks.redeliver(tx, call.merchant_id, event_id)}


_PATH: Final = "/v1/webhook-endpoints"
OPERATIONS: Final = (
    Operation(
        "createWebhookEndpoint",
        "POST",
        _PATH,
        "merchant",
        "Register a webhook endpoint; its secret is shown once",
        "webhooks",
        answers.EndpointWithSecret,
        write=create,
        status=201,
        body=NewEndpoint,
        secrets=("secret",),
    ),
    Operation(
        "listWebhookEndpoints",
        "GET",
        _PATH,
        "merchant",
        "List webhook endpoints",
        "webhooks",
        answers.Endpoint,
        read=list_own,
        many=True,
        query=Page,
    ),
    Operation(
        "getWebhookEndpoint",
        "GET",
        _PATH + "/{id}",
        "merchant",
        "One webhook endpoint",
        "webhooks",
        answers.Endpoint,
        read=get,
    ),
    Operation(
        "deleteWebhookEndpoint",
        "DELETE",
        _PATH + "/{id}",
        "merchant",
        "Delete a webhook endpoint",
        "webhooks",
        answers.Endpoint,
        write=delete,
    ),
    Operation(
        "rotateWebhookSecret",
        "POST",
        _PATH + "/{id}/rotate-secret",
        "merchant",
        "A new secret; the old one signs for another day",
        "webhooks",
        answers.EndpointWithSecret,
        write=rotate,
        body=Empty,
        secrets=("secret",),
    ),
    Operation(
        "listWebhookDeliveries",
        "GET",
        _PATH + "/{id}/deliveries",
        "merchant",
        "Deliveries to one endpoint",
        "webhooks",
        answers.Delivery,
        read=deliveries,
        many=True,
        query=DeliveryPage,
    ),
    Operation(
        "redeliverEvent",
        "POST",
        "/v1/events/{id}/redeliver",
        "merchant",
        "Send an event again",
        "events",
        answers.Redelivery,
        write=redeliver,
        body=Empty,
    ),
)
