"""The daemon's HTTP API as a shop's developer would call it."""

from __future__ import annotations

from typing import Any, Final

import aiohttp

from bursar.demo.errors import DemoError

Json = dict[str, Any]
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20)


class Api:
    """Calls with a bearer key; every answer is an object or an error."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def ready(self) -> tuple[bool, str]:
        """Whether ``/readyz`` says yes, and what it said."""
        try:
            async with self._session.get(f"{self.url}/readyz", timeout=_TIMEOUT) as response:
                return response.status == 200, (await response.text())[:500]
        except (aiohttp.ClientError, TimeoutError) as error:
            return False, type(error).__name__

    async def get(self, path: str, key: str) -> Json:
        """:raises DemoError: not answered with 200."""
        return await self._call("GET", path, key, None)

    async def post(self, path: str, key: str, body: Json) -> Json:
        """:raises DemoError: not answered with 200 or 201."""
        return await self._call("POST", path, key, body)

    async def every(self, path: str, key: str) -> list[Json]:
        """A list's first hundred objects: more than the demo ever makes."""
        rows: list[Json] = (await self.get(f"{path}?limit=100", key))["data"]
        return rows

    async def _call(self, method: str, path: str, key: str, body: Json | None) -> Json:
        where = f"{method} {path}"
        try:
            async with self._session.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {key}"},
                timeout=_TIMEOUT,
            ) as response:
                if response.status not in (200, 201):
                    said = (await response.text())[:300]
                    raise DemoError(f"answered {response.status}: {said}", where=where)
                answer: Json = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoError(f"no answer ({type(error).__name__})", where=where) from error
        return answer
