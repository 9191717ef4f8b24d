"""The OpenAPI 3.1 document, made from the operations that the router serves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.answers import Problem, page_of
from gateway.fields import Body
from gateway.operation import Operation
from gateway.problems import PROBLEM_TYPE, Code, ProblemError, problem_body

API_TITLE: Final = "Bursar"
_REF: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = (
    "Stablecoin payments: an invoice has a deposit address of its own; what arrives there is "
    "confirmed, credited and paid out in batches. Amounts are decimal strings in whole units, "
    "times RFC 3339 UTC, addresses EIP-55. Any POST takes an Idempotency-Key."
)
_ERRORS: Final = {
    "merchant": (400, 401, 404, 405, 408, 409, 413, 422, 429, 500, 503),
    "admin": (400, 401, 404, 405, 408, 409, 413, 422, 429, 500, 503),
    "approver": (400, 401, 404, 405, 408, 409, 413, 422, 429, 500, 503),
    "operator": (400, 401, 404, 405, 408, 409, 413, 422, 429, 500, 503),
    "anyone": (503,),
}
_SCHEMES: Final[dict[str, tuple[str, ...]]] = {"anyone": (), "operator": ("admin", "approver")}


def openapi_document(
    operations: Sequence[Operation], public_url: str, version: str
) -> dict[str, Any]:
    """The whole document; pure."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": API_TITLE,
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(o.tag for o in operations)],
        "paths": _paths(operations),
        "components": {
            "schemas": _schemas(operations),
            "responses": {"Problem": _problem_response()},
            "securitySchemes": {
                "merchant": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A merchant's API key.",
                },
                "admin": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The key in BURSAR_ADMIN_KEY.",
                },
                "approver": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The key in BURSAR_APPROVER_KEY: a second person's.",
                },
            },
        },
    }


def _paths(operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return paths


def _operation(operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{scheme: []} for scheme in _SCHEMES.get(operation.who, (operation.who,))],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query)],
        "responses": {
            str(operation.status): {
                "description": "Done." if operation.write else "Here it is.",
                "content": {"application/json": {"schema": _answer_schema(operation)}},
            },
            **{
                str(status): {"$ref": "#/components/responses/Problem"}
                for status in _ERRORS[operation.who]
            },
        },
    }
    if operation.method == "POST":
        made["parameters"].append(_IDEMPOTENCY)
    if operation.body is not None:
        made["requestBody"] = {
            "required": bool(operation.body.model_json_schema().get("required")),
            "content": {"application/json": {"schema": _ref(operation.body)}},
        }
    return made


_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body give the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def _answer_schema(operation: Operation) -> dict[str, Any]:
    return page_of(operation.answer) if operation.many else _ref(operation.answer)


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[a-z]+_[0-9a-z]+$", "maxLength": 64},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _query_parameters(model: type[Body]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _not_null({k: v for k, v in field.items() if k != "title"}),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is left out, never null."""
    kept = [s for s in schema.get("anyOf", ()) if s.get("type") != "null"]
    rest = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    return {**kept[0], **rest} if len(kept) == 1 else schema


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    models: list[type[BaseModel]] = [o.body for o in operations if o.body is not None]
    models = list(dict.fromkeys([*models, *(o.answer for o in operations), Problem]))
    _, document = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF, by_alias=True
    )
    schemas: dict[str, Any] = document["$defs"]
    schemas["Problem"]["properties"]["code"]["enum"] = [code.value for code in Code]
    return dict(sorted(schemas.items()))


def _problem_response() -> dict[str, Any]:
    example = ProblemError(Code.NOT_FOUND, "no invoice inv_01j0000000000000000000000")
    return {
        "description": "What went wrong (RFC 9457); `code` never changes its meaning.",
        "content": {
            PROBLEM_TYPE: {
                "schema": _ref(Problem),
                "example": problem_body(example, "req_00000000000000000000"),
            }
        },
    }
