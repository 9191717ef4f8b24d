"""Templates and static files of the package: loaded once per application, escaped by default."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import jinja2
from aiohttp import web

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere: an injected script would not run."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file; ``tag`` is of its content, and part of its URL."""

    body: bytes
    content_type: str
    tag: str


class Pages:
    """Renders the package's templates and serves its assets."""

    def __init__(self, base: str = "") -> None:
        """:param base: path of the public URL, where a proxy has this under one."""
        self._base = base
        root = files("gateway")
        self.assets = {
            item.name: _asset(item.name, item.read_bytes())
            for item in root.joinpath("static").iterdir()
            if "." + item.name.rpartition(".")[2] in _TYPES
        }
        templates = {
            item.name: item.read_text(encoding="utf-8")
            for item in root.joinpath("templates").iterdir()
        }
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = self._url
        self._environment.globals["base"] = base

    def _url(self, name: str) -> str:
        return f"{self._base}/assets/{name}?v={self.assets[name].tag}"

    def page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        """An HTML page under the strict policy."""
        return web.Response(
            status=status,
            text=self._environment.get_template(template).render(**values),
            content_type="text/html",
            headers={"Content-Security-Policy": PAGE_POLICY},
        )


PAGES: web.AppKey[Pages] = web.AppKey("pages", Pages)


def _asset(name: str, body: bytes) -> Asset:
    suffix = "." + name.rpartition(".")[2]
    return Asset(body, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:12])


async def asset(request: web.Request) -> web.Response:
    """A file of the package, by exact name."""
    found = request.app[PAGES].assets.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(
        body=found.body,
        content_type=found.content_type,
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=86400", "ETag": f'"{found.tag}"'},
    )
