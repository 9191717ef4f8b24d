"""Rules, documents and code name the same metrics; promtool agrees where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bursar.metrics.families import Families

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "prometheus"
DOCUMENT = ROOT / "docs" / "metrics.md"


def exposed() -> set[str]:
    """Names as a query spells them."""
    names = set()
    for family in text_string_to_metric_families(Families().exposition().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        names |= {name, f"{name}_count"} if family.type == "histogram" else {name}
    return names


def test_rules__metrics__all_exist() -> None:
    text = (RULES / "alerts.yml").read_text()
    used = set(re.findall(r"\bbursar_[a-z_]+", text))
    assert used
    assert used <= exposed(), used - exposed()


def test_rules__runbooks__all_exist_and_all_are_used() -> None:
    text = (RULES / "alerts.yml").read_text()
    named = set(re.findall(r"docs/runbooks/[a-z-]+\.md", text))
    assert named == {f"docs/runbooks/{file.name}" for file in (ROOT / "docs/runbooks").glob("*.md")}


def test_document__families__the_same_as_the_code_s() -> None:
    told = set(re.findall(r"^\| `(bursar_[a-z_]+)`", DOCUMENT.read_text(), re.MULTILINE))
    assert told == {name for name in exposed() if not name.endswith("_count")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool__accepts(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        [promtool, *arguments], cwd=RULES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
