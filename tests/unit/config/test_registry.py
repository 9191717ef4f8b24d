"""The built-in chains and tokens, and what the file may change of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import Catalogue, Token
from config.errors import NotFoundError
from config.registry import registry
from config.settings import Finality, Settings, parse_settings
from config.units import Address, ChainName, TokenSymbol, checksum, parse_address

IDS = {
    "ethereum": 1, "base": 8453, "arbitrum": 42161, "optimism": 10, "polygon": 137,
    "avalanche": 43114, "bnb": 56, "sepolia": 11155111, "base-sepolia": 84532,
}  # fmt: skip


def load(*chains: dict[str, Any]) -> Settings:
    urls = {"rpc_urls": ["http://127.0.0.1:1"]}
    return parse_settings({"chains": [{**urls, **chain} for chain in chains]})


ALL = load(*({"chain": name} for name in IDS))


def test_registry__every_chain__loads_by_name_alone() -> None:
    assert {chain.name: chain.chain_id for chain in ALL.chains} == IDS
    assert set(registry()) == set(IDS)
    assert {chain.name for chain in ALL.chains if chain.is_test} == {"sepolia", "base-sepolia"}


def test_registry__every_address__is_written_in_eip55() -> None:
    for entry in registry().values():
        for token in entry["tokens"]:
            assert checksum(parse_address(token["address"])) == token["address"]


@pytest.mark.parametrize(
    ("chain", "symbol", "decimals", "currency", "flagged"),
    [
        ("ethereum", "USDT", 6, "USD", False),
        ("base", "USDbC", 6, "USD", True),
        ("bnb", "USDC", 18, "USD", False),
        ("bnb", "USDT", 18, "USD", False),
        ("optimism", "USDT0", 6, "USD", False),
        ("optimism", "USDT", 6, "USD", True),
        ("avalanche", "EURC", 6, "EUR", False),
        ("polygon", "DAI", 18, "USD", False),
    ],
)
def test_registry__tokens_that_differ__are_as_collected(
    chain: str, symbol: str, decimals: int, currency: str, flagged: bool
) -> None:
    token = Catalogue(ALL.chains).token(chain, symbol)
    assert (token.decimals, token.currency, token.flagged) == (decimals, currency, flagged)


@pytest.mark.parametrize(
    ("chain", "micros", "finality"),
    [
        ("ethereum", 10**9, Finality(confirmations=12)),
        ("ethereum", 10**9 + 1, Finality(tag="finalized")),
        ("base", 10**10, Finality(tag="safe")),
        ("arbitrum", 0, Finality(confirmations=40)),
        ("bnb", 0, Finality(tag="finalized")),
        ("avalanche", 10**15, Finality(confirmations=1)),
    ],
)
def test_registry__finality__is_as_collected(chain: str, micros: int, finality: Finality) -> None:
    assert Catalogue(ALL.chains).chain(chain).finality_for(micros) == finality


def test_override__of_a_key__leaves_the_others() -> None:
    (chain,) = load({"chain": "base", "name": "l2", "fee_cap": {"gwei": 7}}).chains
    assert (chain.name, chain.chain_id, chain.fee_cap.gwei) == ("l2", 8453, 7)
    assert chain.fee_cap.batch_native == 10**17


def test_override__of_finality__replaces_the_tiers_too() -> None:
    (chain,) = load({"chain": "base", "finality": {"confirmations": 30}}).chains
    assert chain.hard_finality == Finality(confirmations=30)


def test_override__of_tokens__completes_by_symbol_and_keeps_the_flagged() -> None:
    (chain,) = load({"chain": "base", "tokens": [{"symbol": "USDC"}]}).chains
    assert [(token.symbol, token.flagged) for token in chain.tokens] == [
        ("USDC", False),
        ("USDbC", True),
    ]
    (chain,) = load({"chain": "base", "tokens": [{"symbol": "USDbC", "flagged": False}]}).chains
    assert [(token.symbol, token.flagged) for token in chain.tokens] == [("USDbC", False)]


def test_catalogue__lookups__find_by_chain_and_address_only() -> None:
    catalogue = Catalogue(ALL.chains)
    usdc = catalogue.token("base", "USDC")
    assert catalogue.token_by_address("base", usdc.address) is usdc
    assert catalogue.token_by_address("ethereum", usdc.address) is None
    assert usdc.caip19 == "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    assert catalogue.chain("base").caip2 == "eip155:8453"
    assert catalogue.chain_by_id(10) is catalogue.chain("optimism")
    bridged = catalogue.token("base", "USDbC")
    assert catalogue.flagged("base", bridged.address)
    assert not catalogue.flagged("base", usdc.address)
    assert bridged not in catalogue.payable_tokens("base")
    assert len(list(catalogue)) == 31


def test_catalogue__unknown_names__say_what_is_known() -> None:
    catalogue = Catalogue(ALL.chains)
    with pytest.raises(NotFoundError, match="did you mean 'polygon'"):
        catalogue.chain("poligon")
    with pytest.raises(NotFoundError, match="known: USDC, USDT"):
        catalogue.token("bnb", "DAI")


def test_token__invoice_currency__is_its_own_or_itself() -> None:
    eurc = Catalogue(ALL.chains).token("base", "EURC")
    assert [eurc.pays(currency) for currency in ("EUR", "EURC", "USD")] == [True, True, False]


def made(decimals: int) -> Token:
    return Token(ChainName("c"), 1, TokenSymbol("T"), Address(b"\1" * 20), decimals, "USD")


@pytest.mark.parametrize(
    ("decimals", "micros", "amount"),
    [(6, 12_500_000, 12_500_000), (18, 1, 10**12), (2, 1, 1), (2, 10_001, 2), (0, 1, 1)],
)
def test_token__price__rounds_up_below_six_decimals(
    decimals: int, micros: int, amount: int
) -> None:
    assert made(decimals).from_micros(micros) == amount


@given(decimals=st.integers(0, 36), micros=st.integers(0, 10**30))
def test_token__price_paid_exactly__is_never_short(decimals: int, micros: int) -> None:
    token = made(decimals)
    amount = token.from_micros(micros)
    assert token.to_micros(amount) >= micros
    assert amount == 0 or token.to_micros(amount - 1) < micros
