"""The API against its own description: valid, complete, and kept to under fuzzing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS

from gateway.app import OPERATIONS
from gateway.docs_page import operation_groups
from gateway.openapi import openapi_document
from gateway.problems import Code
from ledger.outbox import EVENT_TYPES
from tests.support.database import copy_sqlite, sqlite_url
from tests.support.door import ADMIN_KEY, Door, open_door

CHECK_NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
DOCS = Path(__file__).parents[3] / "docs" / "api.md"


def document() -> dict[str, Any]:
    return openapi_document(OPERATIONS, "http://127.0.0.1:8080", "0")


def test_document__valid_openapi__and_every_operation_once() -> None:
    made = document()
    validate(made)
    names = [o["id"] for group in operation_groups(made).values() for o in group]
    assert sorted(names) == sorted(o.name for o in OPERATIONS)
    assert len(set(names)) == len(names)
    json.dumps(made)


async def test_document__served__is_the_one_that_was_made(door: Door) -> None:
    served = await door.call("GET", "/openapi.json")
    assert served.status == 200
    assert served.body["paths"] == json.loads(json.dumps(document()))["paths"]


@pytest.mark.parametrize("kind", ["codes", "events", "calls"])
def test_docs__every_code_event_and_call__is_explained(kind: str) -> None:
    text = DOCS.read_text()
    known = {
        "codes": [code.value for code in Code],
        "events": list(EVENT_TYPES),
        "calls": [f"{o.method} {o.path}" for o in OPERATIONS],
    }[kind]
    for name in known:
        assert f"`{name}`" in text, f"docs/api.md says nothing of {name}"
    if kind == "codes":
        table = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.M)
        assert {name for name, _ in table} == set(known), "no more and no fewer"


@pytest.fixture
async def fuzzed(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Door]:
    """On SQLite alone: what is fuzzed here does not depend on the database."""
    copy_sqlite(sqlite_template, tmp_path / "bursar.db")
    async with open_door(sqlite_url(tmp_path / "bursar.db")) as served:
        yield served


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
async def test_f28_fuzzed__every_operation__conforms_and_never_500(
    fuzzed: Door, operation: Any
) -> None:
    door = fuzzed
    key = await door.merchant()
    invoice = await door.invoice(key)
    await asyncio.to_thread(fuzz, door, operation, key, invoice)


def fuzz(door: Door, operation: Any, key: str, invoice: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=door.base)
    target = schema[operation.path][operation.method]
    headers = {"Authorization": f"Bearer {ADMIN_KEY if operation.who == 'admin' else key}"}
    checks = [CHECKS.get_one(name) for name in CHECK_NAMES]

    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=target.as_strategy())
    def one(case: schemathesis.Case) -> None:
        if operation.path.startswith("/v1/invoices/{id}"):
            case.path_parameters["id"] = invoice["id"]
        case.query.pop("wait", None) if case.query else None
        case.validate_response(case.call(headers=headers), checks=checks)

    one()
