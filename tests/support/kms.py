"""AWS KMS on this machine: moto behind real HTTP, made true to KMS, with faults on demand.

moto signs the SHA-256 of a message that KMS would sign as it is (``MessageType`` DIGEST); here
every message is signed as it is, and another type refused. Keys live here for as long as the server does.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any
from unittest.mock import patch

import boto3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from moto.kms.utils import ECDSAPrivateKey
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from config.models import KmsSettings
from wallets.signature import ORDER

REGION = "eu-central-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDFORTESTS",
    "AWS_SECRET_ACCESS_KEY": "secret-for-tests",
    "AWS_SESSION_TOKEN": "token-for-tests",
}
Respond = Callable[..., Iterable[bytes]]
Fault = Callable[[dict[str, Any], Respond], Iterable[bytes] | None]
"""A WSGI answer, or ``None`` to let the request through."""


def refusal(code: str, status: int = 400) -> Fault:
    """What KMS says, as JSON 1.1; its text holds what must not be repeated."""
    body = json.dumps({"__type": code, "message": "text-of-the-service"}).encode()

    def answer(_environ: dict[str, Any], respond: Respond) -> list[bytes]:
        respond(f"{status} X", [("Content-Type", "application/x-amz-json-1.1")])
        return [body]

    return answer


def slow(seconds: float) -> Fault:
    """The request goes through later."""

    def wait(_environ: dict[str, Any], _respond: Respond) -> None:
        time.sleep(seconds)

    return wait


@dataclass
class LocalKms:
    """The server; ``faults`` meet the next ``Sign`` calls, one each."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    signed: int = 0
    high_s: int = 0
    _server: BaseWSGIServer | None = None

    def environment(self) -> dict[str, str]:
        """What the AWS libraries need to find it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_KMS": self.url}

    @cached_property
    def client(self) -> Any:
        """For what an administrator does."""
        return boto3.client(
            "kms", region_name=REGION, endpoint_url=self.url,
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip

    def key(self, spec: str = "ECC_SECG_P256K1", usage: str = "SIGN_VERIFY") -> str:
        """A new key's id."""
        made = self.client.create_key(KeySpec=spec, KeyUsage=usage)
        return str(made["KeyMetadata"]["KeyId"])

    def settings(self, **changes: Any) -> KmsSettings:
        """Three new keys, but for ``changes``."""
        keys = {
            name: {"key": self.key()}
            for name in ("treasury", "sponsor_sweeps", "sponsor_payouts")
            if name not in changes
        }
        return KmsSettings.model_validate({"region": REGION, **keys, **changes})

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET") == "TrentService.Sign":
            self.signed += 1
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = BytesIO(body)
            if json.loads(body).get("MessageType") != "DIGEST":
                return refusal("ValidationException")(environ, respond) or ()
            if self.faults:
                answer = self.faults.pop(0)(environ, respond)
                if answer is not None:
                    return answer
        return self._app(environ, respond)  # type: ignore[no-any-return]

    def __post_init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)

    def _sign(self, key: ECDSAPrivateKey, message: bytes, _algorithm: str) -> bytes:
        """The digest itself; every second signature has a high s, as chance has it at KMS."""
        der = key.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(der)
        s = min(s, ORDER - s)
        if self.signed % 2 == 1:
            self.high_s += 1
            s = ORDER - s
        return encode_dss_signature(r, s)


@contextmanager
def local_kms() -> Iterator[LocalKms]:
    """KMS on a free port of this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    kms = LocalKms()
    server = make_server("127.0.0.1", 0, kms, threaded=True)
    kms.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)

    def sign(key: ECDSAPrivateKey, message: bytes, algorithm: str) -> bytes:
        return kms._sign(key, message, algorithm)

    with patch.object(ECDSAPrivateKey, "sign", sign):
        thread.start()
        try:
            yield kms
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)
