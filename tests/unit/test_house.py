"""The rules of the house hold in every product file, and each rule can fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support import house
from tests.support.house import Module

ROOT = Path(__file__).resolve().parents[2]
PER_MODULE: list[Callable[[Module], list[str]]] = [
    house.floors,
    house.broad_excepts,
    house.own_clock,
    house.sizes,
    house.money_floats,
    house.docstrings,
]
PYTHON_LOCKS = ("requirements.lock", "requirements-run.lock", "requirements-build.lock")
LOCKS = (*PYTHON_LOCKS, "package-lock.json")
TEXTS = {".py", ".md", ".toml", ".sh", ".yml", ".yaml", ".sol", ".mjs", ".html", ".css", ".service"}


@cache
def product() -> list[Module]:
    """Not at import: that is done once per test process, this by one of them."""
    return house.product_modules(ROOT)


def sample(path: str, text: str) -> Module:
    return Module.parse(path, dedent(text))


def committed_texts() -> Iterator[Path]:
    skipped = {"node_modules", "__pycache__", "dist", "build"}
    for folder in (*house.FLOORS, "deploy", "docs", "tests", "benchmarks", "scripts", ".ci"):
        for file in sorted((ROOT / folder).rglob("*")):
            readable = file.suffix in TEXTS or file.name == "run"
            if readable and file.is_file() and not skipped & set(file.parts):
                yield file
    yield from (file for file in sorted(ROOT.glob("*")) if file.suffix in {".md", ".toml"})
    yield from (file for file in (ROOT / "Makefile", ROOT / "Dockerfile") if file.exists())


def test_packages__all_eight__are_there() -> None:
    assert {module.package for module in product()} == set(house.FLOORS)


@pytest.mark.parametrize("rule", PER_MODULE, ids=lambda rule: rule.__name__)
def test_product__every_file__keeps_the_rule(rule: Callable[[Module], list[str]]) -> None:
    broken = [line for module in product() for line in rule(module)]
    assert not broken, "\n" + "\n".join(broken)


def test_product__imports__have_no_cycle() -> None:
    broken = house.cycles(product())
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files__names_no_registry(name: str) -> None:
    broken = house.registry_addresses(name, (ROOT / name).read_text())
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("name", PYTHON_LOCKS[1:])
def test_image_locks__every_version__is_the_tested_one(name: str) -> None:
    tested, used = (
        set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in (PYTHON_LOCKS[0], name)
    )
    assert used
    assert used <= tested


def test_committed_files__hold_no_forbidden_words() -> None:
    broken = [
        line
        for file in committed_texts()
        for line in house.forbidden_words(file.relative_to(ROOT).as_posix(), file.read_text())
    ]
    assert not broken, "\n" + "\n".join(broken)


BAD = [
    pytest.param(house.floors, "watcher/a.py", "import settlement.sweeps", id="sideways"),
    pytest.param(house.floors, "ledger/a.py", "from chain import codec", id="sideways-from"),
    pytest.param(house.floors, "config/a.py", "from ledger.store import Store", id="up"),
    pytest.param(house.floors, "chain/a.py", "def f():\n    import bursar", id="inside-a-function"),
    pytest.param(house.floors, "chain/a.py", "import_module('gateway.app')", id="by-name"),
    pytest.param(house.floors, "bursar/a.py", "from tests.support import house", id="tests"),
    pytest.param(house.broad_excepts, "chain/a.py", "try:\n  f()\nexcept:\n  pass", id="bare"),
    pytest.param(
        house.broad_excepts, "chain/a.py", "try:\n  f()\nexcept Exception:\n  pass", id="broad"
    ),
    pytest.param(
        house.broad_excepts,
        "chain/a.py",
        "try:\n  f()\nexcept (OSError, builtins.BaseException):\n  pass",
        id="broad-in-tuple",
    ),
    pytest.param(
        house.broad_excepts, "chain/a.py", "with suppress(Exception):\n  f()", id="suppress"
    ),
    pytest.param(
        house.own_clock, "ledger/a.py", "from datetime import datetime\ndatetime.now()", id="now"
    ),
    pytest.param(
        house.own_clock, "ledger/a.py", "import datetime as d\nd.datetime.now(d.UTC)", id="now-as"
    ),
    pytest.param(house.own_clock, "ledger/a.py", "import time\ntime.time()", id="time"),
    pytest.param(
        house.own_clock,
        "ledger/a.py",
        "from time import monotonic\ndef f(c=monotonic): ...",
        id="mention",
    ),
    pytest.param(house.own_clock, "ledger/a.py", "import random\nrandom.random()", id="random"),
    pytest.param(
        house.own_clock, "ledger/a.py", "import asyncio\nawait asyncio.sleep(1)", id="sleep"
    ),
    pytest.param(
        house.own_clock, "ledger/a.py", "import secrets\nsecrets.token_hex(8)", id="secrets"
    ),
    pytest.param(
        house.own_clock, "ledger/a.py", "from os import urandom\nurandom(8)", id="urandom"
    ),
    pytest.param(house.sizes, "chain/a.py", "x = 1\n" * 401, id="long-file"),
    pytest.param(house.sizes, "chain/a.py", "def f():\n" + "    g()\n" * 70, id="long-function"),
    pytest.param(house.money_floats, "ledger/a.py", "amount = 1.5", id="float-literal"),
    pytest.param(house.money_floats, "ledger/a.py", "x = float(row.fee_total)", id="float-call"),
    pytest.param(house.money_floats, "ledger/a.py", "balance: float = 0", id="float-type"),
    pytest.param(house.money_floats, "ledger/a.py", "half = amount / 2", id="true-division"),
    pytest.param(house.money_floats, "ledger/a.py", "pay(amount=1.0)", id="float-argument"),
    pytest.param(house.docstrings, "ledger/a.py", "x = 1", id="no-docstring"),
]
GOOD = [
    pytest.param(house.floors, "watcher/a.py", "import ledger.store, watcher.b", id="down"),
    pytest.param(
        house.broad_excepts,
        "bursar/supervisor.py",
        "try:\n  f()\nexcept Exception:\n  pass",
        id="supervisor",
    ),
    pytest.param(
        house.broad_excepts, "chain/a.py", "try:\n  f()\nexcept OSError:\n  pass", id="narrow"
    ),
    pytest.param(
        house.own_clock, "ledger/a.py", "import secrets\nsecrets.compare_digest(a, b)", id="compare"
    ),
    pytest.param(house.own_clock, "ledger/a.py", "clock.now()\nclock.sleep(1)", id="clock"),
    pytest.param(house.own_clock, "config/clock.py", "import time\ntime.time()", id="the-clock"),
    pytest.param(house.sizes, "chain/a.py", "def f():\n" + "    g()\n" * 69, id="just-short"),
    pytest.param(house.money_floats, "ledger/a.py", "amount = total // 2", id="integer-division"),
    pytest.param(house.money_floats, "ledger/a.py", "path = folder / 'amount.json'", id="path"),
    pytest.param(house.money_floats, "chain/a.py", "f(ClientTimeout(total=1.5))", id="seconds"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_rule__bad_sample__is_found(
    rule: Callable[[Module], list[str]], path: str, text: str
) -> None:
    assert rule(sample(path, text))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_rule__good_sample__passes(
    rule: Callable[[Module], list[str]], path: str, text: str
) -> None:
    assert rule(sample(path, text)) == []


def test_cycles__two_modules_importing_each_other__are_named() -> None:
    modules = [
        sample("ledger/a.py", "from ledger.b import x"),
        sample("ledger/b.py", "def f():\n    from ledger import a"),
        sample("ledger/c.py", "from ledger import a, b"),
    ]
    assert house.cycles(modules) == ["import cycle: ledger.a ↔ ledger.b"]
    assert house.cycles(modules[1:]) == []


def test_cycles__relative_imports__count() -> None:
    modules = [
        sample("ledger/sub/__init__.py", "from .a import x"),
        sample("ledger/sub/a.py", "from ..sub import y"),
    ]
    assert house.cycles(modules)


@pytest.mark.parametrize(
    "text",
    [
        "--extra-index-url https://example.org/simple",
        '"resolved": "…"',
        "pkg @ file:///tmp/pkg.whl",
        "--find-links /opt",
        "from pypi.org",
    ],
)
def test_registry_addresses__each_form__is_found(text: str) -> None:
    assert house.registry_addresses("requirements.lock", text)
    assert not house.registry_addresses("requirements.lock", "aiohttp==3.14.5 \\\n# via web3")


@pytest.mark.parametrize(
    "text",
    ["see /ho" + "me/ann/x", "in issue" + " #3", "# TO" + "DO: later", "<" * 7 + " HEAD"],
)
def test_forbidden_words__each_kind__is_found(text: str) -> None:
    assert house.forbidden_words("docs/a.md", text)
    assert not house.forbidden_words("docs/a.md", "the route /work and ./home/x, an issue")
