"""The command line: which seeds, for how long, with which faults; what came of it."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count

from tests.simulation import image_postgres
from tests.simulation.faults import FAULTS
from tests.simulation.image import template_database
from tests.simulation.image_postgres import Server
from tests.simulation.run import Report, memory, run_seed
from tests.simulation.town import keyring
from tests.simulation.world import Scale
from tests.support.postgres import PostgresUnavailableError

SEED_SECONDS = 900
"""Of one core. No seed takes so long: one that does is stuck, which is a finding."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit 1 on any violation, with the command that replays it."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of bytes must not differ from run to run: begin again with it fixed.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", "tests.simulation", *(arguments or sys.argv[1:])]
        os.execve(sys.executable, command, environment)
    options = _parser().parse_args(arguments)
    given = {} if not options.calm else dict.fromkeys(FAULTS, 0.0)
    given |= dict(options.fault)
    scale = Scale(
        days=options.days,
        invoices=options.invoices,
        quiet_hours=options.quiet,
        slack=options.slack,
    )
    try:
        with _database(options.database) as server:
            failed = _run(options, given, scale, server)
    except PostgresUnavailableError as error:
        sys.exit(f"error: {error}\n  remedy: install PostgreSQL, or give the URL of a server")
    sys.exit(failed)


def _run(
    options: argparse.Namespace, given: dict[str, float], scale: Scale, server: Server | None
) -> bool:
    if not options.trace:
        return _run_many(options, given, scale, server)
    report = run_seed(_seeds(options)[0], given, scale, server, loud=True)
    _tell(report, options, verbose=True)
    return bool(report.violations)


@contextmanager
def _database(name: str) -> Iterator[Server | None]:
    """What all seeds copy theirs from."""
    if name == "sqlite":
        template_database()
        yield None
        return
    with image_postgres.server(name, memory()) as server:
        server.prepare()
        try:
            yield server
        finally:
            server.forget()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0..9", help="FIRST..LAST, or one number")
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--minutes", type=float, help="stop beginning new seeds after this long")
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="NAME=P")
    parser.add_argument("--calm", action="store_true", help="no fault but those of --fault")
    parser.add_argument("--days", type=float, default=Scale.days, help="virtual, per seed")
    parser.add_argument("--invoices", type=int, default=Scale.invoices, help="per seed")
    parser.add_argument(
        "--quiet", type=float, default=Scale.quiet_hours, help="hours for all to be settled"
    )
    parser.add_argument("--slack", type=float, help="seconds to which timers are rounded")
    parser.add_argument(
        "--database", default="sqlite", metavar="sqlite|postgresql|URL",
        help="postgresql: a throwaway server; URL: postgresql+asyncpg://… of a superuser",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once")
    parser.add_argument("--twice", action="store_true", help="each seed; its history must be one")
    parser.add_argument("--trace", action="store_true", help="print everything; one seed")
    parser.add_argument("--stop", action="store_true", help="at the first violation")
    parser.add_argument("--json", action="store_true", help="the totals as one JSON object")
    return parser


def _fault(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in FAULTS:
        raise argparse.ArgumentTypeError(f"no fault {name!r}; known: {', '.join(sorted(FAULTS))}")
    return name, float(value)


def _seeds(options: argparse.Namespace) -> range:
    if options.seed is not None:
        return range(options.seed, options.seed + 1)
    first, _, last = options.seeds.partition("..")
    return range(int(first), int(last or first) + 1)


@dataclass
class Totals:
    """Of many seeds."""

    seeds: int = 0
    days: float = 0.0
    steps: int = 0
    cpu: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.days += report.days
        self.steps += report.steps
        self.cpu += report.real_seconds
        self.faults.update(report.faults)
        self.counts.update(report.counts)
        if report.violations:
            self.failed.append(report)


def _run_many(
    options: argparse.Namespace, given: dict[str, float], scale: Scale, server: Server | None
) -> bool:
    keyring()
    totals = Totals()
    end = None if options.minutes is None else time.monotonic() + options.minutes * 60
    live = partial(run_seed, given=given, scale=scale, server=server)
    seeds = [seed for seed in _seeds(options) for _ in range(1 + options.twice)]
    reports, histories = _forked(seeds, options.jobs, live, end), dict[int, str]()
    for report in reports:
        if histories.setdefault(report.seed, report.fingerprint) != report.fingerprint:
            report.violations.append("simulator: not the history of the first time")
        totals.add(report)
        _tell(report, options, verbose=False)
        if options.stop and totals.failed:
            break
        if sys.stderr.isatty():
            print(f"\r{totals.seeds} seeds, {totals.days:.1f} days", end="", file=sys.stderr)
    reports.close()
    _sum_up(totals, options)
    return bool(totals.failed)


def _forked(
    seeds: Iterable[int], jobs: int, live: Callable[[int], Report], end: float | None
) -> Generator[Report, None, None]:
    """Each seed in a process of its own: nothing of one is left for the next."""
    waiting = selectors.DefaultSelector()
    try:
        yield from _reports(waiting, iter(seeds), jobs, live, end)
    finally:
        for key in list(waiting.get_map().values()):
            os.kill(key.data[1], signal.SIGKILL)  # given up: our own child, by its number
            os.waitpid(key.data[1], 0)


def _reports(
    waiting: selectors.DefaultSelector,
    left: Iterator[int],
    jobs: int,
    live: Callable[[int], Report],
    end: float | None,
) -> Iterator[Report]:
    running = 0
    for _ in count():
        while running < max(1, jobs) and (end is None or time.monotonic() < end):
            seed = next(left, None)
            if seed is None:
                break
            pipe, child = _fork(seed, live)
            waiting.register(pipe, selectors.EVENT_READ, (seed, child, bytearray()))
            running += 1
        if not running:
            return
        for key, _ in waiting.select():
            seed, child, data = key.data
            part = os.read(key.fd, 65_536)
            if part:
                data += part
                continue
            waiting.unregister(key.fileobj)
            os.close(key.fd)
            os.waitpid(child, 0)
            running -= 1
            yield _received(seed, bytes(data))


def _fork(seed: int, live: Callable[[int], Report]) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return reader, child
    os.close(reader)
    signal.setitimer(signal.ITIMER_PROF, SEED_SECONDS)
    report = live(seed)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(json.dumps(asdict(report)).encode())
    os._exit(0)


def _received(seed: int, data: bytes) -> Report:
    if data:
        return Report(**json.loads(data))
    return Report(seed, ["simulator: the process of this seed was killed or is stuck"])


def _replay(report: Report, options: argparse.Namespace) -> str:
    faults = "".join(f" --fault {name}={value:g}" for name, value in options.fault)
    calm = " --calm" if options.calm else ""
    where = "" if options.database == "sqlite" else " --database postgresql"
    slack = "" if options.slack is None else f" --slack {options.slack:g}"
    return (
        f"python -m tests.simulation --seed {report.seed} --trace --days {options.days:g}"
        f" --invoices {options.invoices} --quiet {options.quiet:g}{slack}{calm}{faults}{where}"
    )


def _tell(report: Report, options: argparse.Namespace, *, verbose: bool) -> None:
    if report.violations:
        print(f"seed {report.seed}: violated after {report.days:.2f} days")
        for line in report.violations:
            print(f"  {line}")
        print(f"  replay: {_replay(report, options)}", flush=True)
    elif verbose or not options.json:
        speed = report.days * 86_400 / max(report.real_seconds, 1e-9)
        print(
            f"seed {report.seed}: {report.days:.2f} days in {report.real_seconds:.1f} s"
            f" ({speed:.0f} ×), {report.steps} steps, {report.counts.get('starts', 0)} starts,"
            f" {report.counts.get('broadcasts', 0)} broadcasts, trace {report.fingerprint}",
            flush=True,
        )


def _sum_up(totals: Totals, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({
            "seeds": totals.seeds, "days": totals.days, "steps": totals.steps,
            "seconds": totals.cpu, "faults": totals.faults, "counts": totals.counts,
            "failed": {r.seed: r.violations for r in totals.failed},
        }))  # fmt: skip
        return
    speed = totals.days * 86_400 / max(totals.cpu, 1e-9)
    print(
        f"{totals.seeds} seeds, {totals.days:.1f} virtual days, {totals.steps} steps checked,"
        f" {speed:.0f} × real time on one core, {len(totals.failed)} seeds with violations"
    )
    shown = ", ".join(f"{name} {n}" for name, n in sorted(totals.faults.items()))
    print(f"faults: {shown}")
    print("counts: " + ", ".join(f"{name} {n}" for name, n in sorted(totals.counts.items())))
