"""Rules that no single value can break alone: references, relations, duplicates. Not shapes."""

from collections import Counter
from collections.abc import Iterable, Iterator

from otel_cx import semconv
from otel_cx_collector.inventory import decision_checks, journey_checks
from otel_cx_collector.inventory.file import MAX_OWN_DIMENSIONS, File
from otel_cx_collector.inventory.names import Names
from otel_cx_collector.inventory.place import Report
from otel_cx_collector.inventory.quantities import format_time
from otel_cx_collector.inventory.shape import HASHABLE
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.tree import Path


def check(file: File, names: Names, report: Report) -> None:
    """Everything wrong with a file whose shape is right goes into ``report``."""
    _environments(file, report)
    _dimensions(file, report)
    _identify(file, report)
    _ignore(file, report)
    _maintenance(file, names, report)
    journey_checks.check(file, names, report)
    decision_checks.check(file, names, report)


def repeated(values: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Index and value of each that stood before."""
    seen: Counter[str] = Counter()
    for index, value in enumerate(values):
        seen[value] += 1
        if seen[value] > 1:
            yield index, value


def _environments(file: File, report: Report) -> None:
    for index, value in repeated(file.environments):
        report.add(("environments", index), f' lists "{value}" again', "remove one of them")


def _dimensions(file: File, report: Report) -> None:
    own = file.dimensions.__pydantic_extra__
    for name in list(own)[MAX_OWN_DIMENSIONS:]:
        what = f" is own dimension number {list(own).index(name) + 1}"
        report.add(("dimensions", name), what, f"keep at most {MAX_OWN_DIMENSIONS}; each is a column of every row")
    carried = {attribute: name for name, attribute in semconv.DIMENSIONS.items()}
    for name, dimension in own.items():
        path: Path = ("dimensions", name)
        if not semconv.NAME.fullmatch(name):
            report.add(path, " is not a name", "use lower-case letters, digits, '.', '_' and '-', at most 64")
        if dimension.attribute in carried:
            what = f': "{dimension.attribute}" carries the dimension {carried[dimension.attribute]} already'
            report.add((*path, "attribute"), what, f"list the values under {carried[dimension.attribute]}")
        elif dimension.attribute.startswith(semconv.PREFIX):
            what = f': "{dimension.attribute}" begins with {semconv.PREFIX}, which is otel-cx\'s own'
            report.add((*path, "attribute"), what, "name an attribute of your own, such as shop.market")
        carried.setdefault(dimension.attribute, name)
        _values((*path, "values"), dimension.values, report, weighs=False)
    for name in semconv.DIMENSIONS:
        _values(("dimensions", name), getattr(file.dimensions, name), report, weighs=name == "segment")


def _values(path: Path, values: tuple[str, ...] | dict[str, float], report: Report, *, weighs: bool) -> None:
    if isinstance(values, tuple):
        for index, value in repeated(values):
            report.add((*path, index), f' lists "{value}" again', "remove one of them")
    elif not weighs:
        for value, weight in values.items():
            if weight != 1:
                what = f": the weight {weight:g} would change nothing, because only segment weighs in the score"
                report.add((*path, value), what, "write a list of the values, without weights")


def _identify(file: File, report: Report) -> None:
    for key, identity in file.identify.given().items():
        if identity.hash is not None and key not in HASHABLE:
            what = f": {key} is no id of a person or an account, so it is not hashed"
            report.add(("identify", key, "hash"), what, "remove hash")
        listed = not report.torn(("dimensions",)) and not report.torn(("dimensions", key))
        if listed and key in semconv.DIMENSIONS and not getattr(file.dimensions, key):
            what = f" reads {identity.attribute}, but dimensions.{key} lists no values, so each would become other"
            report.add(("identify", key), what, f"list the values under dimensions.{key}")


def _ignore(file: File, report: Report) -> None:
    seen = set()
    for index, entry in enumerate(file.ignore):
        given = (entry.route, entry.user_agent, entry.service)
        if given == (None, None, None):
            report.add(("ignore", index), " would ignore everything", "give at least one of route, user_agent, service")
        elif given in seen:
            report.add(("ignore", index), " stands here again", "remove one of them")
        seen.add(given)


def _maintenance(file: File, names: Names, report: Report) -> None:
    for index, entry in enumerate(file.maintenance):
        path = ("maintenance", index)
        if entry.journey not in names.journeys:
            what = f': there is no journey "{entry.journey}"'
            report.add((*path, "journey"), what, nearest(entry.journey, names.journeys))
        if entry.from_ns >= entry.to_ns:
            what = f": {format_time(entry.to_ns)} is not after from, {format_time(entry.from_ns)}"
            report.add((*path, "to"), what, "write a later time")
