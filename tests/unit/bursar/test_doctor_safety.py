"""What the doctor says of owner, limits and native price, and of what is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from bursar.actions.doctor_safety import limits, native_price, owner
from bursar.addresses import OwnAddresses, owner_of
from chain.deployment import plan_addresses
from config.errors import ConfigError
from config.settings import Settings, parse_settings
from config.units import Address, checksum

SIGNER, COLD, SPONSOR = (Address(bytes([n]) * 20) for n in (1, 2, 3))
REAL = {"chain": "base", "rpc_urls": ["http://127.0.0.1:1"]}
TEST = {
    "name": "anvil",
    "chain_id": 31337,
    "rpc_urls": ["http://127.0.0.1:1"],
    "finality": {"confirmations": 1},
    "tokens": [
        {"symbol": "USDC", "address": "0x" + "11" * 20, "decimals": 6, "currency": "USD"},
        {"symbol": "EURC", "address": "0x" + "22" * 20, "decimals": 6, "currency": "EUR"},
    ],
}


def configured(chain: dict[str, Any], **sections: Any) -> Settings:
    return parse_settings({"chains": [chain], **sections})


def owned_by(address: Address) -> OwnAddresses:
    contracts = plan_addresses(address, SIGNER, SPONSOR)
    return OwnAddresses("xpub", SPONSOR, SPONSOR, SIGNER, address, contracts)


@pytest.mark.parametrize(
    ("chain", "address", "good"),
    [(REAL, COLD, True), (REAL, SIGNER, False), (TEST, SIGNER, True), (TEST, COLD, True)],
)
def test_owner__the_signer_itself__good_on_test_chains_only(
    chain: dict[str, Any], address: Address, good: bool
) -> None:
    assert owner(configured(chain), owned_by(address)).good is good


@pytest.mark.parametrize("given", [None, checksum(SIGNER)])
def test_owner_of__nobody_cold_and_real_money__refused(given: str | None) -> None:
    wallets = {} if given is None else {"owner": given}
    with pytest.raises(ConfigError, match="may hold real money"):
        owner_of(configured(REAL, wallets=wallets), SIGNER)
    assert owner_of(configured(TEST, wallets=wallets), SIGNER) == SIGNER


def test_limits__by_token__none_is_said_to_be_none() -> None:
    given = {"payout_limit": {"USDC": "5"}, "daily_limit": {"USDC": "50"}}
    euro, dollar, rule = limits(configured(TEST, settlement=given))
    assert dollar.text == "5 a payout, 50 a day"
    assert euro.text.startswith("none: ")
    assert "10 times the mean of 14 days" in rule.text
    off = {"unusual_outflow": {"factor": 0}}
    assert limits(configured(TEST, settlement=off))[-1].text.startswith("off")


def test_native_price__missing_currency__batch_bps_binds_nothing_there() -> None:
    (none,) = configured(TEST).chains
    assert native_price(none).text == "native_price is not set: fee_cap.batch_bps binds nothing"
    (half,) = configured({**TEST, "native_price": {"USD": "2500"}}).chains
    assert "not set in EUR:" in native_price(half).text
    (both,) = configured({**TEST, "native_price": {"USD": "2500", "EUR": "2300.5"}}).chains
    assert native_price(both).text == "2300.50 EUR, 2500.00 USD, fee_cap.batch_bps = 50"
