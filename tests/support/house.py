"""The rules of the house, as functions from source text to what breaks them.

Each rule takes a parsed :class:`Module` (or all of them) and returns lines like
``ledger/store.py:12: …``; an empty list means that the rule holds. Reading files
is left to :func:`product_modules`, so that a rule can be shown a bad sample.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeGuard

FLOORS: Final = {
    "config": 1,
    "chain": 2,
    "ledger": 2,
    "wallets": 2,
    "watcher": 3,
    "settlement": 3,
    "gateway": 4,
    "bursar": 5,
}
NEVER_IMPORTED: Final = frozenset({"tests", "benchmarks"})
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 70

CLOCK_MODULE: Final = "config/clock.py"
OUTSIDE_THE_CLOCK: Final = re.compile(
    r"datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today"
    r"|time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep)"
    r"|random(\..*)?|secrets\.(token_\w+|choice|randbelow|randbits|SystemRandom)"
    r"|os\.(urandom|getrandom)|uuid\.uuid[147]|asyncio\.sleep"
)
BROAD: Final = frozenset({"Exception", "BaseException"})
MONEY: Final = re.compile(
    r"amounts?|balances?|fees?|g?wei|micros|prices?|credit|debit|minimum|tolerance|dust"
)


@dataclass(frozen=True)
class Module:
    """A product file: its path from the project's root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module = field(compare=False)

    @classmethod
    def parse(cls, path: str, text: str) -> Module:
        return cls(path, text, ast.parse(text, filename=path))

    @property
    def name(self) -> str:
        """Dotted name; a package's ``__init__`` bears the package's name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """Top-level package: one of the eight."""
        return self.path.split("/", 1)[0]


def product_modules(root: Path) -> list[Module]:
    """All Python files of the eight packages."""
    return [
        Module.parse(file.relative_to(root).as_posix(), file.read_text())
        for package in FLOORS
        for file in sorted((root / package).rglob("*.py"))
        if "node_modules" not in file.parts
    ]


def imported_names(module: Module) -> Iterator[tuple[int, str]]:
    """Every name a module imports, wherever the import stands, as (line, dotted name)."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node).endswith(("import_module", "__import__")):
            yield from (
                (node.lineno, str(argument.value))
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant)
            )


def floors(module: Module) -> list[str]:
    """Imports go down only: never up, never sideways, never to the tests."""
    own = FLOORS[module.package]
    found = []
    for line, name in imported_names(module):
        target = name.split(".", 1)[0]
        if target in NEVER_IMPORTED:
            found.append(f"{module.path}:{line}: product code imports {target}")
        elif target != module.package and FLOORS.get(target, 0) >= own:
            way = "sideways" if FLOORS[target] == own else "up"
            found.append(f"{module.path}:{line}: imports {way}, {name}")
    return found


def cycles(modules: Sequence[Module]) -> list[str]:
    """Groups of modules that import each other, by imports anywhere in the file."""
    known = {module.name for module in modules}
    graph: dict[str, set[str]] = {module.name: set() for module in modules}
    for module in modules:
        for _, name in imported_names(module):
            target = name if name in known else name.rsplit(".", 1)[0]
            if target in known and target != module.name:
                graph[module.name].add(target)
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return ["import cycle: " + " ↔ ".join(group) for group in sorted(groups)]


def broad_excepts(module: Module) -> list[str]:
    """Only the supervisor may catch whatever comes."""
    if module.path.startswith("bursar/supervis"):
        return []
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = _names(node.type)
            if node.type is None or caught & BROAD:
                found.append(f"{module.path}:{node.lineno}: broad except")
        elif (
            isinstance(node, ast.Call)
            and _called(node).split(".")[-1] == "suppress"
            and any(_names(argument) & BROAD for argument in node.args)
        ):
            found.append(f"{module.path}:{node.lineno}: suppresses every exception")
    return found


def own_clock(module: Module) -> list[str]:
    """Time, waiting and randomness come in from outside; even a mention is refused."""
    if module.path == CLOCK_MODULE:
        return []
    aliases: dict[str, str] = {}
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".", 1)[0]
                aliases[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, _, rest = _dotted(node).partition(".")
            full = ".".join(filter(None, (aliases.get(first, ""), rest)))
            if first in aliases and OUTSIDE_THE_CLOCK.fullmatch(full):
                found.append(f"{module.path}:{node.lineno}: {full} instead of a Clock or Entropy")
    return found


def sizes(module: Module) -> list[str]:
    """No file needs a scroll bar to be understood, and no function a second screen."""
    found = []
    lines = len(module.text.splitlines())
    if lines > MAX_FILE_LINES:
        found.append(f"{module.path}: {lines} lines, over {MAX_FILE_LINES}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{module.path}:{node.lineno}: {node.name} has {length} lines")
    return found


def money_floats(module: Module) -> list[str]:
    """No float literal, ``float`` or true division in a statement that names money."""
    found = set()
    for statement in ast.walk(module.tree):
        if not isinstance(statement, ast.stmt) or hasattr(statement, "body"):
            continue
        if not _names_money(statement):
            continue
        for node in filter(_is_expression, ast.walk(statement)):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            conversion = isinstance(node, ast.Name) and node.id == "float"
            if literal or conversion or _divides_money(node):
                found.add(f"{module.path}:{node.lineno}: a float beside money")
    return sorted(found)


def docstrings(module: Module) -> list[str]:
    """Every product file says what it is for."""
    return [] if ast.get_docstring(module.tree) else [f"{module.path}: no docstring"]


# Paths of somebody's machine; talk of tickets, which say nothing to a reader without them;
# and marks that something was left unfinished.
FORBIDDEN_WORDS: Final = re.compile(
    r"(?<![\w./~}-])/(?:home|Users|root|work|farm|mnt)/\w"
    r"|\b[Ii]ssue #?\d"
    r"|\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"
    r"|^(?:<{7}|>{7}) "
)


def forbidden_words(path: str, text: str) -> list[str]:
    """Words that have no place in a committed file."""
    return [
        f"{path}:{number}: {match.group().strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in FORBIDDEN_WORDS.finditer(line)
    ]


REGISTRY: Final = re.compile(
    r"https?:|file:|git\+|\"resolved\"|--(?:extra-)?index-url|--find-links|--trusted-host"
    r"|\b(?:pypi|npmjs|pythonhosted|yarnpkg)\.\w"
)


def registry_addresses(path: str, text: str) -> list[str]:
    """A lock file names versions and hashes, never where to fetch them."""
    return [
        f"{path}:{number}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), 1)
        if REGISTRY.search(line)
    ]


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.name.split(".")
    if not module.path.endswith("__init__.py"):
        parts = parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(graph[name])
    return seen


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _called(node: ast.Call) -> str:
    return _dotted(node.func)


def _names(node: ast.AST | None) -> set[str]:
    elements = node.elts if isinstance(node, ast.Tuple) else [node] if node else []
    return {_dotted(element).rsplit(".", 1)[-1] for element in elements}


def _is_expression(node: ast.AST) -> TypeGuard[ast.expr]:
    return isinstance(node, ast.expr)


def _names_money(tree: ast.AST) -> bool:
    """Whether a word of any name in the tree is about money: ``fee`` in ``fee_cap``."""
    names = (getattr(node, key, None) for node in ast.walk(tree) for key in ("id", "attr", "arg"))
    return any(
        MONEY.fullmatch(word)
        for name in names
        if isinstance(name, str)
        for word in name.lower().split("_")
    )


def _divides_money(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _names_money(node)
