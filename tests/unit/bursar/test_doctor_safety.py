"""What the doctor says of owner, limits and native price, and of what is stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from bursar.actions.doctor_policies import policies
from bursar.actions.doctor_safety import (
    floor_finding,
    limits,
    native_price,
    operator_keys,
    owner,
)
from bursar.actions.presigned import presigned_finding
from bursar.addresses import OwnAddresses, owner_of
from chain.deployment import plan_addresses
from config.catalogue import Catalogue
from config.errors import ConfigError
from config.settings import Secrets, Settings, parse_settings
from config.units import Address, Hash32, checksum
from ledger.presigned import PresignedSet

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


@pytest.mark.parametrize(
    ("admin", "says"),
    [
        (None, "is not set"),
        ("admin", "fewer than 16"),
        ("a" * 15, "fewer than 16"),
        ("two words that are long enough", "cannot be sent"),
        ("one-line-of-a-file\nand-another", "cannot be sent"),
        ("schlüssel-der-lang-genug-ist", "cannot be sent"),
        ("a" * 513, "cannot be sent"),
        ("a" * 16, None),
        ("a" * 512, None),
    ],
)
def test_operator_keys__guessed_or_never_sent__said_without_the_key(
    admin: str | None, says: str | None
) -> None:
    secret = None if admin is None else SecretStr(admin)
    (found,) = operator_keys(configured(REAL), Secrets(admin_key=secret))
    assert found.good is (says is None)
    assert (says or "is set") in found.text
    assert admin is None or admin not in found.text or admin == "admin"
    secrets = Secrets(admin_key=SecretStr("a" * 16), approver_key=secret)
    both = operator_keys(configured(REAL), secrets)
    (tested,) = operator_keys(configured(TEST), Secrets(admin_key=secret))
    assert tested.good is (says in (None, "fewer than 16")), "short ones do where money is not real"
    assert [one.good for one in both] == ([True] if admin is None else [True, says is None])


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


class Now:
    """A clock that is asked for the time alone."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


PRICED = {**TEST, "native_price": {"USD": "2500", "EUR": "2300"}}


@pytest.mark.parametrize(
    ("chain", "settlement", "told"),
    [
        (TEST, {"sweep_max_cost_bps": 100}, "binds nothing in EUR, USD"),
        ({**TEST, "native_price": {"USD": "2500"}}, {"sweep_max_cost_bps": 100}, "nothing in EUR:"),
        ({**PRICED, "fee_cap": {"batch_bps": 0}}, {}, "none is ever sent"),
        (TEST, {"minimum_payout": "5", "payout_limit": {"USDC": "4.99"}}, "payout_limit of USDC"),
        (TEST, {"minimum_payout": "5", "daily_limit": {"EURC": "1"}}, "daily_limit of EURC"),
        (TEST, {"schedule": "0 0 31 2 *"}, "never comes due"),
    ],
)
def test_policies__set_and_cannot_work__a_failing_line_with_the_remedy(
    chain: dict[str, Any], settlement: dict[str, Any], told: str
) -> None:
    (found,) = policies(configured(chain, settlement=settlement), Now())
    assert not found.good
    assert told in found.text
    assert found.text.endswith(")")


@pytest.mark.parametrize(
    ("chain", "settlement"),
    [
        (TEST, {}),
        (PRICED, {"sweep_max_cost_bps": 100}),
        ({**TEST, "fee_cap": {"batch_bps": 0}}, {}),
        (TEST, {"minimum_payout": "5", "payout_limit": {"USDC": "5"}}),
    ],
)
def test_policies__that_can_work__nothing_is_said(
    chain: dict[str, Any], settlement: dict[str, Any]
) -> None:
    assert policies(configured(chain, settlement=settlement), Now()) == []


@pytest.mark.parametrize(
    ("held", "unswept", "good", "told"),
    [
        (101, 0, True, "treasury holds 0.000101"),
        (100, 1, True, "payouts wait for sweeps"),
        (100, 0, False, "no payout can leave"),
        (0, 100, False, "no payout can leave"),
        (0, None, True, "treasury holds 0.00"),
    ],
)
def test_floor__above_all_there_is__no_payout_can_leave(
    held: int, unswept: int | None, good: bool, told: str
) -> None:
    chain = {**TEST, "tokens": [{**TEST["tokens"][0], "treasury_floor": "0.0001"}]}
    (token,) = Catalogue(configured(chain).chains).payable_tokens("anvil")
    found = floor_finding(token, held, unswept)
    assert found.good is good
    assert told in found.text


def test_presigned__for_another_forwarder__said_however_many_are_left() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def signed(delegate: Address, last: int) -> PresignedSet:
        return PresignedSet(1, 31337, delegate, Hash32(b"\1" * 32), 0, last, now)

    other = presigned_finding("anvil", [signed(COLD, 1_000)], SIGNER, 0)
    assert not other.good
    assert checksum(COLD) in other.text
    assert checksum(SIGNER) in other.text
    both = [signed(COLD, 1_000), signed(SIGNER, 10)]
    assert presigned_finding("anvil", both, SIGNER, 0).text == "10 of 10 are left"
