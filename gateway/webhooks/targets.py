"""Where a webhook may go: never into the network that Bursar itself stands in (SSRF).

A name is resolved by us, every address is judged, and the connection goes to
the judged address itself: a second, different answer of the name server (DNS
rebinding) is never asked for. Redirects are not followed, so there is no
second target either.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.problems import ProblemError, invalid

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAMES: Final = (".localhost", ".local", ".internal", ".home.arpa")
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedTargetError(OSError):
    """The name leads to an address that webhooks must not reach."""


def is_public(address: IpAddress) -> bool:
    """Whether an address belongs to the public internet; what is embedded in it counts too."""
    inner: IpAddress | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(inner)
    # Site-local addresses (RFC 3879 took fec0::/10 back) are still used inside networks.
    local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or local)


def literal(host: str) -> IpAddress | None:
    """The address that a URL's host spells out."""
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None


def check_target(url: str, *, allow_private: bool) -> None:
    """Refuse a URL that could never be delivered to, when it is registered.

    :raises ProblemError: 422, naming what is wrong.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.fragment:
        raise invalid("url", "must not have a fragment")
    if allow_private:
        return
    if parts.scheme != "https":
        raise invalid("url", "must start with https://")
    address = literal(host)
    local = host == "localhost" or host.endswith(_LOCAL_NAMES)
    if local or (address is not None and not is_public(address)):
        raise invalid("url", "leads to a private address")


def check_literal(url: str, *, allow_private: bool) -> None:
    """Judge again before each attempt, because aiohttp resolves no spelled-out address.

    :raises RefusedTargetError: a private address, or ``http`` where it is not allowed.
    """
    try:
        check_target(url, allow_private=allow_private)
    except ProblemError as problem:
        raise RefusedTargetError(problem.detail) from None


class JudgingResolver(AbstractResolver):
    """Resolves through another resolver and lets public addresses pass only."""

    def __init__(self, inner: AbstractResolver, *, allow_private: bool) -> None:
        self._inner = inner
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """:raises RefusedTargetError: any of the addresses is not public."""
        found = await self._inner.resolve(host, port, family)
        if not self._allow_private:
            refuse_private(found)
        return found

    async def close(self) -> None:
        await self._inner.close()


def refuse_private(found: Sequence[ResolveResult]) -> None:
    """One private address among several is a trick, not an accident: refuse them all."""
    for result in found:
        address = literal(result["host"])
        if address is None or not is_public(address):
            raise RefusedTargetError("resolves to a private address")
