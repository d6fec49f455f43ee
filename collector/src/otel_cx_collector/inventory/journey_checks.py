"""Relations within journeys and between their rules. Not shapes."""

from itertools import product

from otel_cx_collector.inventory.burn_pairs import PAIRS, can_fire, largest_factor, scaled
from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.names import Names
from otel_cx_collector.inventory.place import Report
from otel_cx_collector.inventory.quantities import format_duration, format_share
from otel_cx_collector.inventory.shape import Match, Objective, WrittenJourney
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.tree import Path


def check(file: File, names: Names, report: Report) -> None:
    """Everything wrong between the parts of journeys goes into ``report``."""
    taken: dict[tuple[str | None, ...], tuple[str, int]] = {}
    for name, journey in file.journeys.items():
        path = ("journeys", name)
        _times(path, journey, report)
        _money(path, journey, file.currency, report)
        _steps(path, journey, names, report)
        _objectives(path, journey, names.steps.get(name, ()), report)
        _match(path, journey, names.steps.get(name, ()), report)
        _unreachable_match(path, journey, taken, report)
        _errors(path, journey, names.steps.get(name, ()), report)


def known_step(path: Path, step: str | None, steps: tuple[str, ...], report: Report) -> None:
    """A step that is named must exist."""
    if step is not None and step not in steps:
        report.add((*path, "step"), f': there is no step "{step}" in this journey', nearest(step, steps))


def _times(path: Path, journey: WrittenJourney, report: Report) -> None:
    if journey.mature_ns is not None and journey.mature_ns > journey.timeout_ns:
        what = f": {format_duration(journey.mature_ns)} is longer than timeout, {format_duration(journey.timeout_ns)}"
        report.add((*path, "mature"), what, "an attempt is over by then; write at most the timeout")


def _money(path: Path, journey: WrittenJourney, currency: str | None, report: Report) -> None:
    if journey.value is not None and currency is None and not report.torn(()):
        report.add(
            (*path, "value"), f": {journey.value:g} has no currency", "write currency: EUR, or another, at the top"
        )


def _steps(path: Path, journey: WrittenJourney, names: Names, report: Report) -> None:
    seen = set()
    for index, step in enumerate(journey.steps):
        at = (*path, "steps", index)
        if step.name in seen:
            report.add(at, f': a step "{step.name}" stands before', "give each step a name of its own")
        seen.add(step.name)
        for number, resource in enumerate(step.depends_on):
            if resource not in names.saturation:
                what = f': there is no "{resource}" under saturation'
                report.add((*at, "depends_on", number), what, nearest(resource, names.saturation))


def _objectives(path: Path, journey: WrittenJourney, steps: tuple[str, ...], report: Report) -> None:
    seen = set()
    for index, objective in enumerate(journey.objectives):
        at = (*path, "objectives", index)
        _objective(at, path[1], objective, report)
        if objective.sli != "completion":
            known_step(at, objective.step, steps, report)
        same = (objective.sli, objective.step, objective.threshold_ns, objective.window_ns)
        if same in seen:
            report.add(at, f": the same {objective.sli} stands before", "remove one, or change its step or window")
        seen.add(same)


def _objective(at: Path, journey: str | int, objective: Objective, report: Report) -> None:
    if objective.sli == "latency" and objective.threshold_ns is None:
        report.add(at, ": latency has no threshold", "add threshold: 1.5s, or what is still good")
    if objective.sli != "latency" and objective.threshold_ns is not None:
        what = f": {objective.sli} has no threshold"
        report.add((*at, "threshold"), what, "remove it, or write sli: latency")
    if objective.sli == "completion" and objective.step is not None:
        report.add((*at, "step"), ": completion is of the whole journey", "remove step")
    if objective.target == 1:
        what = (
            f": a target of 100% for {objective.sli} of journey {journey} leaves no error budget; "
            "the largest possible factor, 1/(1 - target), does not exist"
        )
        report.add((*at, "target"), what, "write less than 100%, such as 99.99% (largest possible factor 10000.00)")
    elif objective.target == 0:
        report.add((*at, "target"), ": a target of 0% promises nothing", "write the share that is to be good")
    else:
        _alerts(at, journey, objective, report)


def _alerts(at: Path, journey: str | int, objective: Objective, report: Report) -> None:
    for index, pair in enumerate(objective.alerts or ()):
        where = (*at, "alerts", index)
        if objective.sli == "completion":
            report.add(where, ": completion has a budget but no burn alerts", "remove alerts")
        elif pair not in PAIRS:
            report.add(where, f': there is no pair "{pair}"', nearest(pair, PAIRS))
        elif not can_fire(factor := scaled(PAIRS[pair], objective.window_ns), objective.target):
            what = (
                f": {pair} of {objective.sli} of journey {journey} can never fire: "
                f"it needs a burn above {float(factor):g}; "
                f"largest possible factor at {format_share(objective.target)}: {largest_factor(objective.target)}"
            )
            report.add(where, what, "remove the pair, or raise the target")


def _match(path: Path, journey: WrittenJourney, steps: tuple[str, ...], report: Report) -> None:
    for index, rule in enumerate(journey.match):
        at = (*path, "match", index)
        known_step(at, rule.step, steps, report)
        if _keys(rule) == (None, None, None):
            report.add(at, " would take every span", "give at least one of service, route, rpc")
        if rule.route is not None and rule.rpc is not None:
            report.add(at, " can never match: no span is both HTTP and RPC", "remove route or rpc")


def _keys(rule: Match) -> tuple[str | None, str | None, str | None]:
    return rule.service, rule.route, rule.rpc


def _unreachable_match(
    path: Path, journey: WrittenJourney, taken: dict[tuple[str | None, ...], tuple[str, int]], report: Report
) -> None:
    """A rule is never reached when one before it, in any journey, asks for the same or less."""
    for index, rule in enumerate(journey.match):
        at = (*path, "match", index)
        keys = _keys(rule)
        wider = product(*({key, None} for key in keys))
        first = next((taken[each] for each in wider if any(each) and each in taken), None)
        if first:
            what = (
                f" is never reached: {first[0]} on line {first[1]} takes its spans, and the first rule in the file wins"
            )
            report.add(at, what, "remove it, or move it before that rule")
        taken.setdefault(keys, (report.name(at), report.line(at)))


def _errors(path: Path, journey: WrittenJourney, steps: tuple[str, ...], report: Report) -> None:
    taken: dict[tuple[str | None, ...], int] = {}
    for index, rule in enumerate(journey.errors):
        at = (*path, "errors", index)
        known_step(at, rule.step, steps, report)
        wider = product({rule.step, None}, {rule.error_type, None})
        first = next((taken[each] for each in wider if each in taken), None)
        if first is not None:
            what = f" is never reached: the rule on line {first} takes its errors, and the first match wins"
            report.add(at, what, "remove it, or move it before that rule")
        taken.setdefault((rule.step, rule.error_type), report.line(at))
