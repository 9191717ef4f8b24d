"""Merchants and their API keys."""

from __future__ import annotations

from typing import Final

from config.errors import NotFoundError
from gateway import answers
from gateway.auth import ADMIN_SCOPE
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import IssueApiKey, NewApiKey, NewMerchant, Page, Terms
from ledger.api_keys import (
    create_api_key,
    get_api_key,
    issue_api_key,
    revoke_api_key,
    withdraw_api_key,
)
from ledger.decisions import record_decision
from ledger.listing import list_api_keys, list_merchants
from ledger.merchants import (
    PayoutTerms,
    change_terms,
    configured_terms,
    create_merchant,
    get_merchant,
    merchant_exists,
    with_defaults,
)
from ledger.store import Tx
from ledger.views import view_merchant


def _terms(given: Terms) -> PayoutTerms:
    return PayoutTerms(**{name: getattr(given, name) for name in Terms.model_fields})


async def create(call: Call, tx: Tx) -> JsonObject:
    """A merchant with its first key."""
    given = call.given(NewMerchant)
    merchant_id = await create_merchant(tx, given.name, _terms(given.payout or Terms()))
    key = await create_api_key(tx, merchant_id)
    view = await get_merchant(tx, merchant_id, configured_terms(call.deps.settings.settlement))
    return {**view, "api_key": key.key}


async def set_terms(call: Call, tx: Tx) -> JsonObject:
    """Other payout terms for a merchant, from the next settlement on."""
    merchant_id, given = call.path_id("mer"), call.given(Terms)
    await change_terms(tx, merchant_id, _terms(given))
    # As they were sent: what is left out follows the configuration, whatever that becomes.
    await record_decision(tx, ADMIN_SCOPE, "payout_terms", merchant_id, call.document)
    return await get_merchant(tx, merchant_id, configured_terms(call.deps.settings.settlement))


async def list_all(call: Call) -> JsonObject:
    """Every merchant, for the admin."""
    terms = configured_terms(call.deps.settings.settlement)
    async with call.deps.ledger.reading() as tx:
        rows, cursor = await list_merchants(tx, call.asked(Page).asked())
    data = [view_merchant(row, with_defaults(row, terms)) for row in rows]
    return {"data": data, "next_cursor": cursor}


async def own(call: Call) -> JsonObject:
    """The merchant whose key it is."""
    async with call.deps.ledger.reading() as tx:
        return await get_merchant(
            tx, call.merchant_id, configured_terms(call.deps.settings.settlement)
        )


async def add_key(call: Call, tx: Tx) -> JsonObject:
    """A further key, so that one can be replaced without a gap."""
    made = await create_api_key(tx, call.merchant_id, call.given(NewApiKey).name)
    return {**await get_api_key(tx, call.merchant_id, made.id), "api_key": made.key}


async def list_keys(call: Call) -> JsonObject:
    """Keys without the keys."""
    async with call.deps.ledger.reading() as tx:
        data, cursor = await list_api_keys(tx, call.merchant_id, call.asked(Page).asked())
    return {"data": data, "next_cursor": cursor}


async def revoke_key(call: Call, tx: Tx) -> JsonObject:
    """Refuse a key from now on."""
    return await revoke_api_key(tx, call.merchant_id, call.path_id("key"))


async def issue_key(call: Call, tx: Tx) -> JsonObject:
    """A key for a merchant that lost its own."""
    merchant_id, given = call.path_id("mer"), call.given(IssueApiKey)
    made, _ = await issue_api_key(
        tx, ADMIN_SCOPE, merchant_id, given.name, revoke_others=given.revoke_others
    )
    return {**await get_api_key(tx, merchant_id, made.id), "api_key": made.key}


async def list_keys_of(call: Call) -> JsonObject:
    """A merchant's keys, without the keys, for the admin."""
    merchant_id = call.path_id("mer")
    async with call.deps.ledger.reading() as tx:
        if not await merchant_exists(tx, merchant_id):
            raise NotFoundError(f"no merchant {merchant_id}")
        data, cursor = await list_api_keys(tx, merchant_id, call.asked(Page).asked())
    return {"data": data, "next_cursor": cursor}


async def withdraw_key(call: Call, tx: Tx) -> JsonObject:
    """Refuse anybody's key from now on."""
    return await withdraw_api_key(tx, ADMIN_SCOPE, call.path_id("key"))


OPERATIONS: Final = (
    Operation(
        "createMerchant",
        "POST",
        "/v1/admin/merchants",
        "admin",
        "Add a merchant; its API key is shown once",
        "merchants",
        answers.CreatedMerchant,
        write=create,
        status=201,
        body=NewMerchant,
        secrets=("api_key",),
    ),
    Operation(
        "listMerchants",
        "GET",
        "/v1/admin/merchants",
        "admin",
        "List all merchants",
        "merchants",
        answers.Merchant,
        read=list_all,
        many=True,
        query=Page,
    ),
    Operation(
        "setPayoutTerms",
        "POST",
        "/v1/admin/merchants/{id}/payout-terms",
        "admin",
        "Replace a merchant's payout terms; what is left out follows the configuration",
        "merchants",
        answers.Merchant,
        write=set_terms,
        body=Terms,
    ),
    Operation(
        "issueApiKey",
        "POST",
        "/v1/admin/merchants/{id}/api-keys",
        "admin",
        "Give a merchant a key; it is shown once",
        "merchants",
        answers.CreatedApiKey,
        write=issue_key,
        status=201,
        body=IssueApiKey,
        secrets=("api_key",),
    ),
    Operation(
        "listMerchantApiKeys",
        "GET",
        "/v1/admin/merchants/{id}/api-keys",
        "admin",
        "List a merchant's API keys",
        "merchants",
        answers.ApiKey,
        read=list_keys_of,
        many=True,
        query=Page,
    ),
    Operation(
        "withdrawApiKey",
        "DELETE",
        "/v1/admin/api-keys/{id}",
        "admin",
        "Revoke a merchant's API key",
        "merchants",
        answers.ApiKey,
        write=withdraw_key,
    ),
    Operation(
        "getMerchant",
        "GET",
        "/v1/merchant",
        "merchant",
        "The merchant whose key is used",
        "merchants",
        answers.Merchant,
        read=own,
    ),
    Operation(
        "createApiKey",
        "POST",
        "/v1/api-keys",
        "merchant",
        "Add an API key; it is shown once",
        "api keys",
        answers.CreatedApiKey,
        write=add_key,
        status=201,
        body=NewApiKey,
        secrets=("api_key",),
    ),
    Operation(
        "listApiKeys",
        "GET",
        "/v1/api-keys",
        "merchant",
        "List API keys",
        "api keys",
        answers.ApiKey,
        read=list_keys,
        many=True,
        query=Page,
    ),
    Operation(
        "revokeApiKey",
        "DELETE",
        "/v1/api-keys/{id}",
        "merchant",
        "Revoke an API key",
        "api keys",
        answers.ApiKey,
        write=revoke_key,
    ),
)
