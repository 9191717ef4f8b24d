"""From a request for an invoice to what the store opens; the same for API and import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from config.catalogue import Catalogue, Token
from config.errors import InvalidInputError, NotFoundError
from config.models import InvoiceSettings
from config.money import FIAT_DECIMALS
from gateway.problems import from_validation
from gateway.requests import NewInvoice, OptionChoice
from ledger.invoices import InvoiceSpec


@dataclass(frozen=True, slots=True)
class InvoiceRules:
    """What an invoice is checked against and filled in from."""

    catalogue: Catalogue
    settings: InvoiceSettings


def parse_invoice_request(
    data: Mapping[str, Any], rules: InvoiceRules, now: datetime
) -> InvoiceSpec:
    """One JSON object of ``POST /v1/invoices``, as a line of an import holds it; pure.

    :raises InvalidInputError: naming the first field that is wrong.
    """
    try:
        request = NewInvoice.model_validate(data)
    except ValidationError as error:
        first = from_validation(error).errors[0]
        raise InvalidInputError(first.message, where=first.field) from None
    return invoice_spec(request, rules, now)


def invoice_spec(request: NewInvoice, rules: InvoiceRules, now: datetime) -> InvoiceSpec:
    """A checked request with defaults filled in; pure.

    :raises InvalidInputError: no such currency, chain or token, or one that cannot pay it.
    """
    options = (
        _default_options(request.currency, rules.catalogue)
        if request.options is None
        else _chosen_options(request.options, request.currency, rules.catalogue)
    )
    _check_precision(request, options)
    expires_at = now + (request.lifetime or rules.settings.expires_in)
    return InvoiceSpec(
        amount=request.amount,
        currency=request.currency,
        options=options,
        expires_at=expires_at,
        monitor_until=expires_at + rules.settings.monitor_for,
        reference=request.reference,
        metadata=request.metadata,
        redirect_url=request.redirect_url,
        chosen=request.options is not None,
    )


@lru_cache(maxsize=64)
def _default_options(currency: str, catalogue: Catalogue) -> tuple[Token, ...]:
    options = tuple(token for token in catalogue if not token.flagged and token.pays(currency))
    if not options:
        payable = [token for token in catalogue if not token.flagged]
        known = dict.fromkeys([*(t.currency for t in payable), *(t.symbol for t in payable)])
        raise InvalidInputError(
            f"no configured token pays {currency[:40]!r}",
            where="currency",
            remedy="known: " + ", ".join(known) if known else "no token is configured",
        )
    return options


def _chosen_options(
    choices: list[OptionChoice], currency: str, catalogue: Catalogue
) -> tuple[Token, ...]:
    chosen: dict[tuple[str, str], Token] = {}
    for index, choice in enumerate(choices):
        where = f"options.{index}"
        try:
            token = catalogue.token(choice.chain, choice.token)
        except NotFoundError as error:
            raise InvalidInputError(error.what, where=where, remedy=error.remedy) from None
        if token.flagged or not token.pays(currency):
            raise InvalidInputError(
                f"{token.symbol} on {token.chain} does not pay invoices in {currency[:40]}",
                where=where,
            )
        if (token.chain, token.symbol) in chosen:
            raise InvalidInputError("is given twice", where=where)
        chosen[token.chain, token.symbol] = token
    return tuple(chosen.values())


def _check_precision(request: NewInvoice, options: tuple[Token, ...]) -> None:
    """An amount in a token itself must be payable exactly; one in fiat is rounded up."""
    for token in options:
        units = request.amount * 10**token.decimals
        if token.symbol == request.currency and units % 10**FIAT_DECIMALS:
            raise InvalidInputError(
                f"is finer than the {token.decimals} decimals of {token.symbol} on {token.chain}",
                where="amount",
            )
