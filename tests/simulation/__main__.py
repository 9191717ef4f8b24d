"""``python -m tests.simulation``: see docs/simulation.md."""

from tests.simulation.command import main

main()
