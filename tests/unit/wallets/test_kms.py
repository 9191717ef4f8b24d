"""Keys in AWS KMS: every answer is checked, what may pass is tried again, the rest is words."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from config.errors import ConfigError, WalletError
from config.models import KmsKeySettings, KmsSettings
from config.units import Address, Hash32, checksum
from tests.support.kms import CREDENTIALS, REGION, LocalKms, local_kms, refusal, slow
from tests.unit.wallets.example import TX
from wallets.kms import (
    KmsPatience,
    KmsService,
    connect,
    kms_addresses,
    open_signers,
)
from wallets.kms_errors import KmsUnavailableError
from wallets.signature import ORDER, Signature, recover
from wallets.signer import Signer

DIGEST = Hash32(b"\x42" * 32)
QUICK = KmsPatience(connect=1.0, read=1.0)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalKms]:
    with local_kms() as made:
        yield made


@pytest.fixture
def kms(server: LocalKms, monkeypatch: pytest.MonkeyPatch) -> LocalKms:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    server.faults.clear()
    return server


@pytest.fixture(scope="module")
def settings(server: LocalKms) -> KmsSettings:
    return server.settings()


@pytest.fixture(scope="module")
def service(server: LocalKms, settings: KmsSettings) -> KmsService:
    """One for all: making a client takes the library long."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in server.environment().items():
            patched.setenv(name, value)
        return connect(settings, QUICK)


@pytest.fixture(scope="module")
def signer(service: KmsService, settings: KmsSettings) -> Signer:
    return open_signers(settings, service).treasury


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the library would have waited between attempts."""
    waited: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=waited.append))
    return waited


def treasury(settings: KmsSettings) -> Signer:
    return open_signers(settings, connect(settings, QUICK)).treasury


async def test_f30_kms__low_and_high_s__one_canonical_signature_each(
    kms: LocalKms, settings: KmsSettings, signer: Signer
) -> None:
    before = kms.high_s
    for number in range(6):
        digest = Hash32(bytes([number]) * 32)
        raw = await signer.sign_digest(digest)
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
        assert s <= ORDER // 2
        assert recover(digest, Signature(r, s, raw[64] - 27)) == signer.address
    assert kms.high_s == before + 3


async def test_kms__transaction_and_authorization__are_the_key_s(
    kms: LocalKms, settings: KmsSettings, signer: Signer
) -> None:
    signed = await signer.sign_transaction(TX)
    assert Account.recover_transaction(signed.raw) == checksum(signer.address)
    permit = await signer.sign_authorization(31337, Address(b"\x33" * 20), 0)
    sent = await signer.sign_transaction({**TX, "type": 4, "authorizationList": [permit]})
    assert Account.recover_transaction(sent.raw) == checksum(signer.address)


async def test_f30_kms__throttled_twice__signs_at_the_third_attempt(
    kms: LocalKms, settings: KmsSettings, signer: Signer, pauses: list[float]
) -> None:
    kms.faults[:] = [refusal("ThrottlingException"), refusal("KMSInternalException", 500)]
    assert await signer.sign_digest(DIGEST)
    assert len(pauses) == 2
    assert max(pauses) <= 3


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("KMSInternalException", 500),
        ("DependencyTimeoutException", 503),
    ],
)
async def test_f30_kms__transient_for_ever__is_given_up_after_three_attempts(
    kms: LocalKms,
    settings: KmsSettings,
    signer: Signer,
    pauses: list[float],
    code: str,
    status: int,
) -> None:
    before = kms.signed
    kms.faults[:] = [refusal(code, status)] * 9
    with pytest.raises(KmsUnavailableError, match=f"{code}.*tried again; nothing was sent"):
        await signer.sign_transaction(TX)
    assert kms.signed - before == 3


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDeniedException", "allow kms:GetPublicKey and kms:Sign"),
        ("DisabledException", "enable it"),
        ("KMSInvalidStateException", "cancel the deletion"),
        ("NotFoundException", "check the key and the region"),
        ("ExpiredTokenException", "give it a role"),
        ("InvalidKeyUsageException", "key spec ECC_SECG_P256K1"),
        ("SomethingNewException", "nothing was sent"),
    ],
)
async def test_f30_kms__refused__once_with_the_remedy_and_nothing_else(
    kms: LocalKms, settings: KmsSettings, signer: Signer, code: str, remedy: str
) -> None:
    before = kms.signed
    kms.faults[:] = [refusal(code)] * 3
    with pytest.raises(WalletError) as caught:
        await signer.sign_digest(DIGEST)
    assert not isinstance(caught.value, KmsUnavailableError)
    assert kms.signed - before == 1, "what will not pass is not tried again"
    shown = "".join(traceback.format_exception(caught.value))
    assert code in shown
    assert remedy in shown
    assert settings.treasury.key in shown
    assert "text-of-the-service" not in shown


async def test_f30_kms__slow__the_loop_runs_on(
    kms: LocalKms, settings: KmsSettings, signer: Signer
) -> None:
    kms.faults[:] = [slow(0.4)]
    signing = asyncio.create_task(signer.sign_digest(DIGEST))
    longest, last = 0.0, time.perf_counter()
    while not signing.done():
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert recover_of(await signing) == signer.address
    assert longest < 0.2


async def test_f30_kms__silent__is_given_up_at_the_deadline(
    kms: LocalKms, settings: KmsSettings
) -> None:
    signer = open_signers(settings, connect(settings, KmsPatience(deadline=0.2))).treasury
    kms.faults[:] = [slow(1)]
    with pytest.raises(KmsUnavailableError, match=r"did not sign within 0\.2 s"):
        await signer.sign_digest(DIGEST)


async def test_f30_kms__time_out_of_every_attempt__says_so(
    kms: LocalKms, settings: KmsSettings, pauses: list[float]
) -> None:
    service = connect(settings, KmsPatience(read=0.1, attempts=2))
    kms.faults[:] = [slow(0.4)] * 2
    with pytest.raises(KmsUnavailableError, match=r"out of reach \(ReadTimeoutError"):
        await service.sign(settings.treasury, DIGEST)


def recover_of(raw: bytes) -> Address | None:
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    return recover(DIGEST, Signature(r, s, raw[64] - 27))


class Answers:
    """A client that answers what it is told to."""

    def __init__(self, signature: object) -> None:
        self.signature = signature

    def get_public_key(self, **_: object) -> dict[str, Any]:
        return {
            "KeySpec": "ECC_SECG_P256K1",
            "KeyUsage": "SIGN_VERIFY",
            "PublicKey": b"0\x03\2\1\1",
        }

    def sign(self, **_: object) -> dict[str, Any]:
        return {"Signature": self.signature}


@pytest.mark.parametrize(
    "answer",
    [
        None, b"", b"text", bytes(70),
        b"0\x06\2\1\1\2\1\1!",  # something follows
        b"0\x03\2\1\1",  # no s
        b"0\x06\2\1\x81\2\1\1",  # a negative r
        b"0" + bytes([40]) + b"\2\x23\1" + bytes(34) + b"\2\1\1",  # an r of 33 bytes
    ],
)  # fmt: skip
async def test_f30_kms__answer_that_is_no_der_signature__is_refused(answer: object) -> None:
    key = KmsKeySettings(key="k")
    service = KmsService(Answers(answer))
    with pytest.raises(WalletError, match="not a signature of secp256k1"):
        await service.sign(key, DIGEST)
    with pytest.raises(WalletError, match="not a public key"):
        service.address(key)


async def test_f30_kms__alias_moved_to_another_key__nothing_gets_through(
    kms: LocalKms, settings: KmsSettings, service: KmsService
) -> None:
    client = kms.client
    client.create_alias(AliasName="alias/signer", TargetKeyId=settings.treasury.key)
    chosen = settings.model_copy(update={"treasury": KmsKeySettings(key="alias/signer")})
    signer = open_signers(chosen, service).treasury
    assert await signer.sign_digest(DIGEST)
    client.update_alias(AliasName="alias/signer", TargetKeyId=settings.sponsor_sweeps.key)
    with pytest.raises(WalletError, match="not a signature of this digest"):
        await signer.sign_digest(DIGEST)


@pytest.mark.parametrize(
    ("spec", "usage"), [("ECC_NIST_P256", "SIGN_VERIFY"), ("RSA_2048", "SIGN_VERIFY")]
)
def test_kms__wrong_key_spec__says_which_to_make(
    kms: LocalKms, service: KmsService, spec: str, usage: str
) -> None:
    key = KmsKeySettings(key=kms.key(spec, usage))
    with pytest.raises(WalletError, match=f"{spec}.*ECC_SECG_P256K1 and key usage SIGN_VERIFY"):
        service.address(key)


def test_kms__configured_address__must_be_the_key_s(
    kms: LocalKms, settings: KmsSettings, service: KmsService, signer: Signer
) -> None:
    key = settings.treasury.key
    assert (
        service.address(KmsKeySettings(key=key, address=checksum(signer.address))) == signer.address
    )
    wrong = KmsKeySettings(key=key, address="0x" + "11" * 20)  # type: ignore[arg-type]
    with pytest.raises(WalletError, match=r"its address is .* nothing was signed"):
        service.address(wrong)


def test_kms__two_names_of_one_key__are_refused(kms: LocalKms, service: KmsService) -> None:
    key = kms.key()
    kms.client.create_alias(AliasName="alias/again", TargetKeyId=key)
    chosen = kms.settings(sponsor_sweeps={"key": key}, sponsor_payouts={"key": "alias/again"})
    with pytest.raises(WalletError, match="same address"):
        open_signers(chosen, service)
    with pytest.raises(ValueError, match="are three keys"):
        kms.settings(sponsor_sweeps={"key": key}, sponsor_payouts={"key": key})


async def test_kms__out_of_reach_at_the_start__configured_addresses_do(
    kms: LocalKms, settings: KmsSettings, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(KmsUnavailableError, match="out of reach"):
            treasury(settings)
        pinned = {
            name: {"key": name, "address": "0x" + digit * 40}
            for name, digit in zip(
                ("treasury", "sponsor_sweeps", "sponsor_payouts"), "123", strict=True
            )
        }
        chosen = KmsSettings.model_validate({"region": REGION, **pinned})
        assert kms_addresses(chosen).treasury == treasury(chosen).address == b"\x11" * 20


def test_kms__no_credentials_or_region__says_what_to_give(
    kms: LocalKms, settings: KmsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(WalletError, match="no AWS credentials were found"):
        treasury(settings)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(WalletError, match=r"set region in \[wallets\.kms\]"):
        connect(settings.model_copy(update={"region": None}))


def test_kms__library_missing__says_what_to_install(
    settings: KmsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(ConfigError, match=r"pip install \"bursar\[kms\]\""):
        connect(settings)


async def test_secrets__shown_or_logged_at_debug__are_not_seen(
    kms: LocalKms, settings: KmsSettings, caplog: pytest.LogCaptureFixture
) -> None:
    from io import StringIO

    from config.clock import SystemClock
    from config.log import configure_logging
    from config.models import LogSettings
    from config.redact import Redactor

    before = logging.getLogger().handlers, logging.getLogger().level
    out = StringIO()
    configure_logging(LogSettings(level="debug", format="json"), Redactor([]), SystemClock(), out)
    try:
        service = connect(settings)
        signers = open_signers(settings, service)
        await signers.treasury.sign_digest(DIGEST)
    finally:
        logging.getLogger().handlers, level = before[0], before[1]
        logging.getLogger().setLevel(level)
    shown = f"{service!r} {signers!r} {vars(signers.treasury)} {out.getvalue()}"
    for secret in CREDENTIALS.values():
        assert secret not in shown
    assert "Credential=" not in shown
