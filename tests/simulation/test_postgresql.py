"""The simulation on PostgreSQL, shortly; longer runs are asked for by hand."""

from __future__ import annotations

import pytest

from tests.simulation.test_simulation import LONGEST, simulate
from tests.support.postgres import PostgresCluster


@pytest.mark.timeout(LONGEST)
def test_simulation__on_postgresql_and_twice__no_rule_broken_and_one_history(
    postgres: PostgresCluster,
) -> None:
    """Two deaths, lost answers to commits, refused statements, slow answers; paid all the same."""
    totals = simulate(
        "--database", postgres.url("postgres"), "--seed", "53", "--twice",
        "--days", "0.003", "--invoices", "1", "--quiet", "0.7", "--slack", "24", "--calm",
        "--fault", "db_statement=0.01", "--fault", "db_commit=0.02", "--fault", "db_committed=0.02",
        "--fault", "db_slow=0.01", "--fault", "kill=0.001", "--fault", "kill_at_commit=0.01",
    )  # fmt: skip
    assert totals["seeds"] == 2
    assert totals["counts"]["deaths"] >= 2
    assert totals["counts"]["broadcasts"] >= 4
    assert totals["faults"]["db_committed"] >= 1
    assert totals["faults"]["db_statement"] >= 1
