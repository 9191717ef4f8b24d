"""The OpenAPI document as a page to read: rendered here, no script, nothing from elsewhere."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.rendering import PAGES

OPENAPI: web.AppKey[dict[str, Any]] = web.AppKey("openapi", dict)
_METHODS: Final = ("get", "post", "delete")


async def openapi(request: web.Request) -> web.Response:
    """The document itself; any origin may read it."""
    return web.Response(
        body=msgspec.json.encode(request.app[OPENAPI]),
        content_type="application/json",
        headers={"Access-Control-Allow-Origin": "*"},
    )


async def docs(request: web.Request) -> web.Response:
    """The page."""
    document = request.app[OPENAPI]
    return request.app[PAGES].page(
        "docs.html",
        document=document,
        groups=operation_groups(document),
        schemas={n: _fields(s) for n, s in document["components"]["schemas"].items()},
    )


def operation_groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Operations by tag, flattened for the template; pure."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                groups[item[method]["tags"][0]].append(_operation(path, method, item[method]))
    return dict(groups)


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    status = next(iter(operation["responses"]))
    answer = operation["responses"][status]["content"]["application/json"]["schema"]
    many = "$ref" not in answer
    body = operation.get("requestBody")
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "who": ", ".join(name for item in operation["security"] for name in item),
        "parameters": [
            {
                "name": p["name"],
                "where": p["in"],
                "required": p["required"],
                "type": _type(p["schema"]),
            }
            for p in operation["parameters"]
        ],
        "body": _named(body["content"]["application/json"]["schema"]) if body else None,
        "status": status,
        "many": many,
        "answer": _named(answer["properties"]["data"]["items"] if many else answer),
    }


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "required": name in required,
            "type": _type(field),
            "schema": _linked(field),
            "note": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "$ref" in schema:
        return "object"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    form = schema.get("format") or schema.get("pattern")
    return f"{schema.get('type', 'any')}{f' ({form})' if form else ''}"


def _named(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _linked(schema: dict[str, Any]) -> str | None:
    for part in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        if "$ref" in part:
            return _named(part)
        if "$ref" in part.get("items", {}):
            return _named(part["items"])
    return None


def add_routes(app: web.Application) -> None:
    """``/openapi.json`` and ``/docs``."""
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", docs)
