"""Where in the file something stands: paths to lines and to names people read. Not what is wrong there."""

from dataclasses import dataclass, field

from otel_cx_collector.errors import Problem
from otel_cx_collector.inventory.quantities import printable
from otel_cx_collector.inventory.tree import Node, Path


@dataclass(slots=True)
class Report:
    """Problems of one file, found by path and kept with lines."""

    file: str
    root: Node
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, what: str, cure: str) -> None:
        """One problem at ``path``; ``what`` begins after the place. Where parts are torn it may follow from another."""
        if self.torn(path) or self.torn(path[:-1]):
            return
        self.problems.append(Problem(self.file, self.line(path), f"{self.name(path)}{what}", cure))

    def resolve(self, location: Path) -> Path:
        """The keys of ``location`` that stand in the file: tags of unions and missing keys are passed over."""
        node = self.root
        path: Path = ()
        for key in location:
            found = node.child(key)
            if found is not None:
                node, path = found[1], (*path, key)
        return path

    def torn(self, path: Path) -> bool:
        """Whether something wrong was taken out of what stands at ``path``."""
        node = self.root
        for key in path:
            found = node.child(key)
            if found is None:
                return False
            node = found[1]
        return node.torn

    def line(self, path: Path) -> int:
        """Line of the key or entry at ``path``, or of the nearest thing around it that stands in the file."""
        node, line = self.root, self.root.line
        for key in path:
            found = node.child(key)
            if found is None:
                break
            line, node = found
        return line

    def name(self, path: Path) -> str:
        """``journeys.checkout.steps[payment].stage``; entries without a name are counted from ``#1``."""
        node: Node | None = self.root
        text = ""
        for key in path:
            found = node.child(key) if node else None
            node = found[1] if found else None
            text += f"[{_label(key, node)}]" if isinstance(key, int) else f"{'.' if text else ''}{printable(key)}"
        return text or "the file"

    def remove(self, path: Path) -> bool:
        """Take the key or entry at ``path`` out of the tree; False when nothing could be taken."""
        parent, key = self.root, path[-1] if path else ""
        for each in path[:-1]:
            found = parent.child(each)
            if found is None:
                return False
            parent = found[1]
        if parent.child(key) is None:
            return False
        if isinstance(key, int):
            del parent.items[key]
        else:
            del parent.entries[key]
        parent.torn = True
        return True


def _label(index: int, node: Node | None) -> str:
    named = node.child("name") if node else None
    value = named[1].value if named else node.value if node else None
    return printable(value) if isinstance(value, str) and value else f"#{index + 1}"
