"""The committed artifacts are what the sources and the pinned compiler give, byte by byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chain.artifacts import load_artifact

ROOT = Path(__file__).resolve().parents[3]


def test_artifacts__rebuilt_from_source__same_bytes(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "node is needed: run `make setup`"
    if not (ROOT / "node_modules" / "solc").is_dir():
        pytest.fail("solc is not installed: run `make setup` (npm ci)")
    script = ROOT / "chain" / "contracts" / "build.mjs"
    built = subprocess.run(
        [node, script, tmp_path], check=False, capture_output=True, text=True, timeout=150
    )
    assert built.returncode == 0, built.stderr
    committed = {file.name: file.read_bytes() for file in (ROOT / "chain/artifacts").glob("*.json")}
    fresh = {file.name: file.read_bytes() for file in tmp_path.glob("*.json")}
    assert sorted(committed) == sorted(fresh)
    assert [name for name in fresh if fresh[name] != committed[name]] == []


def test_artifacts__compiler__is_the_one_that_the_lock_file_pins() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    pinned = lock["packages"]["node_modules/solc"]["version"]
    text = (ROOT / "chain/artifacts/Treasury.json").read_text()
    assert json.loads(text)["compiler"].startswith(pinned + "+")
    assert not any("resolved" in package for package in lock["packages"].values())


def test_runtime_with__immutable__fills_every_place_and_nothing_else() -> None:
    forwarder = load_artifact("Forwarder")
    filled = forwarder.runtime_with(b"\xab" * 20)
    assert filled.count(b"\xab" * 20) == len(forwarder.immutables) > 0
    assert filled.replace(b"\xab" * 20, bytes(20)) == forwarder.runtime
    assert load_artifact("Treasury").runtime_with(b"\xab" * 20) == load_artifact("Treasury").runtime


def test_forwarder__interface__has_no_initializer_no_signatures_no_storage() -> None:
    functions = {
        item["name"] for item in load_artifact("Forwarder").abi if item["type"] == "function"
    }
    assert functions == {"FORWARDED", "collector", "forward"}
