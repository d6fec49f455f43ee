"""YAML text -> a bounded tree that knows the line of every key and value. Not what the keys mean.

Built from parser events, one pass, without constructing objects: tags are refused, scalars follow the YAML 1.2 core
schema (so ``no`` and ``2026-01-05T02:00:00Z`` stay text), and an alias is copied only while the whole stays small.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from otel_cx_collector.errors import Problem
from otel_cx_collector.inventory.quantities import shown

MAX_BYTES: Final = 1 << 20
"""A real inventory of 50 journeys is under 200 KiB; a megabyte is read in about four seconds."""
MAX_NODES: Final = 100_000
"""Keys and values after aliases are copied: what stops a file that multiplies itself."""
MAX_DEPTH: Final = 48
"""The design's deepest path has 8 levels; decision trees may nest further."""

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A scalar (``value``), a mapping (``entries``: key -> key line and node) or a list (``items``)."""

    line: int
    kind: str
    """``scalar``, ``mapping`` or ``list``."""
    value: Scalar = None
    entries: dict[str, tuple[int, "Node"]] = field(default_factory=dict)
    items: list["Node"] = field(default_factory=list)
    size: int = 1
    depth: int = 1
    torn: bool = False
    """Something wrong was taken out of it, so what it lacks is no mistake."""

    def data(self) -> Any:
        """The plain value: what a validator is given."""
        if self.kind == "mapping":
            return {key: node.data() for key, (_, node) in self.entries.items()}
        return [node.data() for node in self.items] if self.kind == "list" else self.value

    def copy(self) -> "Node":
        """A tree of its own, for an alias."""
        entries = {key: (line, node.copy()) for key, (line, node) in self.entries.items()}
        items = [node.copy() for node in self.items]
        return Node(self.line, self.kind, self.value, entries, items, self.size, self.depth)

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, "Node"]]:
        """Everything below, in the order of the file, each with its path."""
        below: list[tuple[str | int, Node]] = [(key, node) for key, (_, node) in self.entries.items()]
        for key, node in below or enumerate(self.items):
            yield (*path, key), node
            yield from node.walk((*path, key))

    def child(self, key: str | int) -> tuple[int, "Node"] | None:
        """The line and node under a key or index, None when there is none."""
        if self.kind == "mapping" and isinstance(key, str):
            return self.entries.get(key)
        if self.kind == "list" and isinstance(key, int) and key < len(self.items):
            return self.items[key].line, self.items[key]
        return None


class _RefusedError(Exception):
    """Reading stops here, with the problem."""

    def __init__(self, line: int, what: str, cure: str) -> None:
        super().__init__(what)
        self.line, self.what, self.cure = line, what, cure


def read(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree of the one document in ``text`` (None when there is none to judge) and what is wrong with its YAML."""
    builder = _Builder(file)
    try:
        _refuse_large(text)
        root = builder.build(text)
    except _RefusedError as refused:
        return None, [*builder.problems, Problem(file, refused.line, refused.what, refused.cure)]
    except MarkedYAMLError as error:
        return None, [*builder.problems, _syntax(file, text, error)]
    except ReaderError as error:
        return None, [_unreadable(file, text, error)]
    except Exception as error:  # noqa: BLE001 - whatever else the parser trips over is a mistake in the file
        what = f"not YAML: the parser stopped with {type(error).__name__}"
        return None, [*builder.problems, Problem(file, builder.line, what, "look at this line and the one before")]
    return root, builder.problems


def _refuse_large(text: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _RefusedError(0, f"the file is larger than {MAX_BYTES} bytes", "drop what is not used")


def _unreadable(file: str, text: str, error: ReaderError) -> Problem:
    line = text.count("\n", 0, error.position) + 1
    what = f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
    return Problem(file, line, what, "remove it, or write it as an escape in double quotes")


def _syntax(file: str, text: str, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = " ".join(" ".join(filter(None, (error.context, error.problem))).split())
    said = "".join(char for char in said if char.isprintable())
    cure = "look at the indentation, quotes and brackets of this line and the one before"
    if mark is None:
        return Problem(file, 0, f"not YAML: {said}", cure)
    rows = text.split("\n")
    row = rows[mark.line].strip() if mark.line < len(rows) else ""
    said += f" at {shown(row)}" if row else ""
    return Problem(file, mark.line + 1, f"not YAML: {said}", cure)


def _number(text: str) -> Scalar:
    try:
        return int(text)
    except ValueError:
        return text  # more digits than Python converts


_CORE: Final[tuple[tuple[re.Pattern[str], Callable[[str], Scalar]], ...]] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text[0] in "tT"),
    (re.compile(r"[-+]?[0-9]+"), _number),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)
"""YAML 1.2.2, 10.3.2: how a plain scalar is read, first match; anything else is text."""


def _plain(text: str) -> Scalar:
    return next((read_as(text) for pattern, read_as in _CORE if pattern.fullmatch(text)), text)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet; ``key`` waits for its value (None: merge)."""

    node: Node
    anchor: str | None
    key: tuple[int, str | None] | None = None
    merged: list[Node] = field(default_factory=list)


class _Builder:
    """Events -> tree. Iterative, so depth cannot exhaust the interpreter's stack."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.line = 0
        self.nodes = 0
        self.problems: list[Problem] = []
        self.open: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.root: Node | None = None

    def build(self, text: str) -> Node | None:
        documents = 0
        events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        for event in events:
            self.line = event.start_mark.line + 1
            name = type(event).__name__
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise _RefusedError(self.line, "a second document begins here", "keep one document; remove the ---")
            elif name in _HANDLERS:
                _HANDLERS[name](self, event)
        return self.root

    def problem(self, line: int, what: str, cure: str) -> None:
        self.problems.append(Problem(self.file, line, what, cure))

    def count(self, size: int, depth: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            raise _RefusedError(
                self.line, f"the file holds more than {MAX_NODES} keys and values", "write fewer aliases, or split it"
            )
        if len(self.open) + depth > MAX_DEPTH:
            raise _RefusedError(self.line, f"nested deeper than {MAX_DEPTH} levels", "write it flatter")

    def scalar(self, event: Any) -> None:
        self.count(1, 1)
        self.refuse_tag(event)
        plain = event.implicit[0] and event.style is None
        node = Node(self.line, "scalar", _plain(event.value) if plain else event.value)
        self.name(event.anchor, node)
        if plain and event.value == "<<" and self.expects_key():
            node.kind = "merge"
        self.add(node)

    def start(self, event: Any) -> None:
        self.count(1, 1)
        self.refuse_tag(event)
        kind = "list" if type(event).__name__ == "SequenceStartEvent" else "mapping"
        if event.anchor:
            self.anchors[event.anchor] = None
        self.open.append(_Open(Node(self.line, kind), event.anchor))

    def end(self, _: Any) -> None:
        closed = self.open.pop()
        for merged in closed.merged:
            for key, entry in merged.entries.items():
                closed.node.entries.setdefault(key, entry)
        children = [*closed.node.items, *(node for _, node in closed.node.entries.values())]
        closed.node.size = 1 + sum(node.size for node in children)
        closed.node.depth = 1 + max((node.depth for node in children), default=0)
        self.name(closed.anchor, closed.node)
        self.add(closed.node)

    def alias(self, event: Any) -> None:
        anchor = event.anchor
        if anchor not in self.anchors:
            known = ", ".join(sorted(self.anchors)[:5])
            cure = f"known here: {known}" if known else f"write &{anchor} before a value first, or quote the *"
            raise _RefusedError(self.line, f"*{shown(anchor)[1:-1]} refers to no anchor before it", cure)
        target = self.anchors[anchor]
        if target is None:
            raise _RefusedError(self.line, f"*{anchor} refers to the value it stands in", "remove it")
        self.count(target.size, target.depth)
        copy = target.copy()
        copy.line = self.line
        self.add(copy)

    def refuse_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise _RefusedError(self.line, f"the tag {shown(str(event.tag))} is not read here", "remove the tag")

    def name(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self.anchors[anchor] = node

    def expects_key(self) -> bool:
        return bool(self.open) and self.open[-1].node.kind == "mapping" and self.open[-1].key is None

    def add(self, node: Node) -> None:
        if not self.open:
            self.root = node
        elif self.open[-1].node.kind == "list":
            self.open[-1].node.items.append(node)
        elif self.open[-1].key is None:
            self.open[-1].key = self.key(node)
        else:
            self.entry(self.open[-1], node)

    def key(self, node: Node) -> tuple[int, str | None]:
        if node.kind == "merge":
            return node.line, None
        if node.kind != "scalar":
            raise _RefusedError(
                node.line, f"{shown(node.data())} stands where a key is due", "write a name before the colon"
            )
        if node.value is None:
            self.problem(node.line, "nothing stands before the colon", "write a name there")
        elif not isinstance(node.value, str):
            cure = f'write it in quotes, "{shown(node.value)}"'
            self.problem(node.line, f"the key {shown(node.value)} is not text", cure)
        return node.line, str(node.value)

    def entry(self, into: _Open, node: Node) -> None:
        assert into.key is not None  # noqa: S101 - add() sets the key first; for the type checker
        line, key = into.key
        into.key = None
        if key is None:
            self.merge(into, line, node)
        elif key in into.node.entries:
            first = into.node.entries[key][0]
            self.problem(line, f"the key {shown(key)} stands here again (first on line {first})", "remove one of them")
        else:
            into.node.entries[key] = (line, node)

    def merge(self, into: _Open, line: int, node: Node) -> None:
        sources = node.items if node.kind == "list" else [node]
        if any(source.kind != "mapping" for source in sources):
            self.problem(line, f"<< merges {shown(node.data())}", "merge a mapping, such as <<: *defaults")
        else:
            into.merged.extend(sources)


_HANDLERS: Final[dict[str, Callable[[_Builder, Any], None]]] = {
    "ScalarEvent": _Builder.scalar,
    "MappingStartEvent": _Builder.start,
    "SequenceStartEvent": _Builder.start,
    "MappingEndEvent": _Builder.end,
    "SequenceEndEvent": _Builder.end,
    "AliasEvent": _Builder.alias,
}
