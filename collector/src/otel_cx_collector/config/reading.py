"""A pass over ``collector.yaml`` that gathers values and every mistake with its line. Not what values look like."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from otel_cx_collector.config.readers import READERS
from otel_cx_collector.config.settings import LogLimits, RequestLimits, Settings, StoreLimits
from otel_cx_collector.errors import Problem, UserError
from otel_cx_collector.inventory.quantities import UnreadableError, shown
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.tree import Node, read

_VARIABLE: Final = re.compile(r"\$\$|\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")
_ENDPOINTS: Final = ("grpc", "http", "web", "health")
_PARTS: Final = (("limits", RequestLimits), ("log", LogLimits), ("chdb", StoreLimits))


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in a file. Raises UserError with every mistake in it: ``file:line: what; cure``."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; check the path, or run without --config") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    return parse(text, str(path), environ)


def parse(text: str, file: str, environ: Mapping[str, str]) -> Settings:
    """The settings in ``text``; ``file`` is its name in messages. Raises UserError like load."""
    root, problems = read(text, file)
    reading = _Reading(file, environ, problems)
    if root is not None:
        reading.node(root, ())
    settings = reading.settings() if not reading.problems else None
    if settings is None or reading.problems:
        raise UserError("\n".join(map(str, sorted(reading.problems, key=lambda problem: problem.line))))
    return settings


class _Reading:
    """One pass over the tree that gathers values and problems."""

    def __init__(self, file: str, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self.file = file
        self.environ = environ
        self.problems = list(problems)
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}

    def problem(self, line: int, what: str, cure: str) -> None:
        self.problems.append(Problem(self.file, line, what, cure))

    def node(self, node: Node, path: tuple[str, ...]) -> None:
        """Read what stands under ``path``: a value if one is due, else the keys of a mapping (or nothing: defaults)."""
        if path in READERS:
            self.value(node, path)
        elif node.kind == "mapping":
            for key, (line, child) in node.entries.items():
                self.key(line, key, child, path)
        elif node.kind != "scalar" or node.value is not None:
            where = ".".join(path) or "the file"
            known = ", ".join(_known(path))
            self.problem(node.line, f"{where} is {shown(node.data())}", f"write a mapping with any of: {known}")

    def key(self, line: int, key: str, child: Node, path: tuple[str, ...]) -> None:
        known = _known(path)
        if key in known:
            self.node(child, (*path, key))
        else:
            where = f" in {'.'.join(path)}" if path else ""
            self.problem(line, f"unknown key {shown(key)}{where}", nearest(key, known))

    def value(self, node: Node, path: tuple[str, ...]) -> None:
        name, reader = READERS[path]
        self.lines[name] = node.line
        if node.kind != "scalar":
            self.problem(node.line, f"{path[-1]} is {shown(node.data())}", "write a single value")
            return
        try:
            self.values[name] = reader(self.expand(node.value) if isinstance(node.value, str) else node.value)
        except UnreadableError as error:
            self.problem(node.line, f"{path[-1]}: {error.what}", error.cure)

    def expand(self, text: str) -> str:
        """Replace ``${env:VAR:-default}``; an empty variable counts as unset, as in a shell."""
        return _VARIABLE.sub(self.variable, text)

    def variable(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        if name is None:
            raise UnreadableError(f"{shown(match[0])} is no variable", "write ${env:NAME}, or $$ for a dollar sign")
        value = self.environ.get(name) or default
        if value is None:
            raise UnreadableError(
                f"the environment variable {name} is not set", f"set it, or write ${{env:{name}:-default}}"
            )
        return value

    def settings(self) -> Settings:
        """The settings out of the values; problems are added where they contradict each other."""
        own: dict[str, Any] = {name: value for name, value in self.values.items() if "." not in name}
        limits, log, chdb = (self.part(*part) for part in _PARTS)
        settings = Settings(**own, limits=limits, log=log, chdb=chdb)
        taken: dict[str, str] = {}
        for name in _ENDPOINTS:
            endpoint = getattr(settings, name)
            if not endpoint.endswith(":0") and endpoint in taken:
                line = max(self.lines.get(name, 0), self.lines.get(taken[endpoint], 0))
                what = f"{endpoint} is the endpoint of {taken[endpoint]} and of {name}"
                self.problem(line, what, "give each its own port")
            taken[endpoint] = name
        return settings

    def part(self, section: str, kind: Callable[..., Any]) -> Any:
        prefix = f"{section}."
        given = {name.removeprefix(prefix): value for name, value in self.values.items() if name.startswith(prefix)}
        try:
            return kind(**given)
        except UserError as error:
            what, _, cure = str(error).partition("; ")
            self.problem(max(self.lines[prefix + name] for name in given), f"{section}: {what}", cure)
            return kind()


def _known(path: tuple[str, ...]) -> list[str]:
    """The keys that may stand under ``path``."""
    depth = len(path)
    return list(dict.fromkeys(known[depth] for known in READERS if known[:depth] == path and len(known) > depth))
