"""What the AWS library raises, as what happened and the remedy; pure.

Told apart by names, so that nothing of the library is imported where it is not
installed. Its own texts are left out: they can hold parts of a request.
"""

from __future__ import annotations

from typing import Any, Final

from config.errors import WalletError

MALFORMED: Final = "its answer is not a {} of secp256k1"

_LATER: Final = "it is tried again; nothing was sent"
_TRANSIENT: Final = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_UNREACHABLE: Final = frozenset({"ConnectionError", "HTTPClientError"})
"""Base classes: time-outs, refused and closed connections, proxies, TLS."""

_RIGHTS: Final = (
    "this process may not use it",
    "allow kms:GetPublicKey and kms:Sign on it, in the process's policy or the key's",
)
_CREDENTIALS: Final = (
    "AWS does not accept this process's credentials",
    "give it a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that are valid",
)
_WORDS: Final = {
    "AccessDeniedException": _RIGHTS,
    "NotFoundException": (
        "there is no such key in this region and account",
        "check the key and the region in [wallets.kms]",
    ),
    "DisabledException": ("the key is disabled", "enable it"),
    "KMSInvalidStateException": (
        "the key cannot be used in its state: pending deletion, or not imported",
        "cancel the deletion",
    ),
    "InvalidKeyUsageException": (
        "the key is not for this kind of signature",
        "make one with key spec ECC_SECG_P256K1 and key usage SIGN_VERIFY",
    ),
    "UnsupportedOperationException": (
        "the key is not for signing",
        "make one with key spec ECC_SECG_P256K1 and key usage SIGN_VERIFY",
    ),
    "ExpiredTokenException": _CREDENTIALS,
    "IncompleteSignature": _CREDENTIALS,
    "IncompleteSignatureException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "MissingAuthenticationTokenException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "NoCredentialsError": (
        "no AWS credentials were found",
        "give the process a role, a profile (AWS_PROFILE) or AWS_ACCESS_KEY_ID and _SECRET_…",
    ),
    "NoRegionError": ("no AWS region is known", "set region in [wallets.kms], or AWS_REGION"),
    "ProfileNotFound": ("the AWS profile does not exist", "correct AWS_PROFILE"),
}


class KmsUnavailableError(WalletError):
    """Out of reach, throttled or failing inside: trying again may help."""


def in_words(error: Exception, where: str) -> WalletError:
    """The error to raise in place of the library's ``BotoCoreError`` or ``ClientError``."""
    code, status = _code(error), _status(error)
    if code in _TRANSIENT or status >= 500:
        kind = "throttles" if "Thrott" in code or "Limit" in code else "fails"
        return KmsUnavailableError(f"AWS KMS {kind} ({code})", where=where, remedy=_LATER)
    if _UNREACHABLE & {kind.__name__ for kind in type(error).__mro__}:
        return KmsUnavailableError(f"AWS KMS is out of reach ({code})", where=where, remedy=_LATER)
    what, remedy = _WORDS.get(code, ("AWS KMS refused", "look the code up; nothing was sent"))
    return WalletError(f"{what} ({code})", where=where, remedy=remedy)


def _code(error: Exception) -> str:
    """AWS's code, or the class where no answer came."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def _status(error: Exception) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else 0
