"""cx.yaml -> Inventory, or every mistake in it at once. Not the rules themselves (shape, checks, pending)."""

from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from otel_cx_collector.errors import InventoryError, Problem
from otel_cx_collector.inventory.checks import check
from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.model import Inventory, resolve
from otel_cx_collector.inventory.names import names_in
from otel_cx_collector.inventory.pending import PENDING, Pending, asked_for
from otel_cx_collector.inventory.place import Report
from otel_cx_collector.inventory.spelling import resembles
from otel_cx_collector.inventory.tree import MAX_BYTES, Node, Path, read
from otel_cx_collector.inventory.words import describe

MAX_PROBLEMS: Final = 200
"""More is one mistake made many times."""
MAX_ROUNDS: Final = 20
"""Each round takes wrong parts out, so that the rest can be judged too."""
SMALLEST: Final = "begin with journeys: and under it a journey with steps: [first, second]"


def load(path: FilePath) -> Inventory:
    """The inventory in ``path``. Raises InventoryError with all problems, in the order of the file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        what = f"cannot be read: {error.strerror or type(error).__name__}"
        raise InventoryError([Problem(str(path), 0, what, "check the path of the inventory")]) from error
    try:
        text = raw.decode("utf-8-sig", errors="strict" if len(raw) <= MAX_BYTES else "replace")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"byte {raw[error.start]:#04x} is not UTF-8"
        raise InventoryError([Problem(str(path), line, what, "save the file as UTF-8")]) from error
    return parse(text, str(path))


def parse(text: str, file: str = "cx.yaml", *, pending: tuple[Pending, ...] = PENDING) -> Inventory:
    """The inventory in ``text``; ``file`` names it in messages. Raises InventoryError and nothing else.

    ``pending`` is what is refused as not evaluated yet.
    """
    root, problems = read(text, file)
    written = None
    if root is not None and root.kind == "mapping":
        report = Report(file, root, problems)
        written = _judge(report, pending)
    elif root is not None:
        problems.append(_not_an_inventory(file, root))
    elif not problems:
        problems.append(Problem(file, 0, "the file is empty", SMALLEST))
    if problems or written is None:
        raise InventoryError(_in_order(problems, file))
    return resolve(written)


def _not_an_inventory(file: str, root: Node) -> Problem:
    if root.kind == "scalar" and root.value is None:
        return Problem(file, root.line, "the file is empty", SMALLEST)
    what = "a list" if root.kind == "list" else "a single value"
    return Problem(file, root.line, f"the file holds {what}", SMALLEST)


def _judge(report: Report, pending: tuple[Pending, ...]) -> File | None:
    """The file as far as its shape is right, after everything wrong with it went into ``report``."""
    names = names_in(report.root)
    for each, path in asked_for(report.root, pending):
        report.add(path, " is understood but not evaluated by this version", each.instead)
    blank = _take_out_blanks(report)
    for around in range(MAX_ROUNDS):
        try:
            file = File.model_validate(report.root.data())
        except ValidationError as error:
            errors = [each for each in error.errors(include_url=False) if not _follows(each)]
            if around == 0:
                _tell(report, errors, blank)
            if not _take_out(report, errors):
                return None
        else:
            check(file, names, report)
            return file
    return None


def _take_out_blanks(report: Report) -> frozenset[Path]:
    """Keys and entries with nothing after them: never a value, so told and removed."""
    blank = [path for path, node in report.root.walk() if node.kind == "scalar" and node.value is None]
    for path in blank:
        report.add(path, " has no value", "write one, or remove the key")
    for path in reversed(blank):
        report.remove(path)
    return frozenset(blank)


def _follows(error: Any) -> bool:
    """A list that is too short only because its entries are wrong."""
    return error["type"] == "too_short" and len(error["input"]) > 0


def _tell(report: Report, errors: list[Any], blank: frozenset[Path]) -> None:
    unknown: dict[Path, list[str]] = {}
    for path in (report.resolve(error["loc"]) for error in errors if error["type"] == "extra_forbidden"):
        unknown.setdefault(path[:-1], []).append(str(path[-1]))
    for error in errors:
        path = report.resolve(error["loc"])
        if error["type"] == "missing" and _is_there(str(error["loc"][-1]), path, blank, unknown):
            continue
        around = path[:-1] if error["type"] == "extra_forbidden" else path
        what, cure = describe(error, report.name(around))
        report.problems.append(Problem(report.file, report.line(path), what, cure))


def _is_there(key: str, path: Path, blank: frozenset[Path], unknown: dict[Path, list[str]]) -> bool:
    """A key that is missing at ``path`` only because it has no value or is misspelt there."""
    return (*path, key) in blank or any(resembles(word, key) for word in unknown.get(path, ()))


def _take_out(report: Report, errors: list[Any]) -> bool:
    """Remove what the errors are about, last entries of a list first so that the others keep their index."""
    paths = {report.resolve(error["loc"]) for error in errors}
    removed = [report.remove(path) for path in sorted(paths, key=_position, reverse=True)]
    return any(removed)


def _position(path: Path) -> list[tuple[int, str]]:
    return [(key, "") if isinstance(key, int) else (-1, key) for key in path]


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
    if len(ordered) > MAX_PROBLEMS:
        more = len(ordered) - MAX_PROBLEMS
        last = Problem(
            file, ordered[MAX_PROBLEMS].line, f"and {more} more problems from here on", "mend the first ones"
        )
        ordered = [*ordered[:MAX_PROBLEMS], last]
    return ordered or [Problem(file, 0, "the file could not be judged", SMALLEST)]
