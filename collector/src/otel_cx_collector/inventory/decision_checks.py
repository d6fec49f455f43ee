"""Relations within decision rules, saturation and channels. Not shapes."""

from collections.abc import Iterator

from otel_cx_collector.inventory.decisions import (
    EVERY_JOURNEY,
    AllOf,
    AnyOf,
    AvailabilityOk,
    Channel,
    CompletionDrop,
    CompletionUnchanged,
    Escalate,
    LatencyAbove,
    Not,
    Predicate,
    Rule,
    SaturationAbove,
)
from otel_cx_collector.inventory.file import File
from otel_cx_collector.inventory.names import Names
from otel_cx_collector.inventory.place import Report
from otel_cx_collector.inventory.spelling import nearest
from otel_cx_collector.inventory.tree import Path


def check(file: File, names: Names, report: Report) -> None:
    """Everything wrong with how decisions refer to each other goes into ``report``."""
    for name, resource in file.saturation.items():
        if resource.warn == 0:
            report.add(
                ("saturation", name, "warn"), ": 0% would always warn", "write a share of the limit, such as 80%"
            )
    seen = set()
    for index, rule in enumerate(file.escalation):
        path = ("escalation", index)
        if rule.name in seen:
            report.add((*path, "name"), f': a rule "{rule.name}" stands before', "give each rule a name of its own")
        seen.add(rule.name)
        _rule(path, rule, names, report)
    for name, channel in file.notify.items():
        _channel(("notify", name), channel, report)


def _rule(path: Path, rule: Rule, names: Names, report: Report) -> None:
    if rule.journey != EVERY_JOURNEY and rule.journey not in names.journeys:
        what = f': there is no journey "{rule.journey}"'
        report.add((*path, "journey"), what, f'{nearest(rule.journey, names.journeys)}; "*" is every journey')
    for at, predicate in _parts((*path, "when"), rule.when):
        _predicate(at, predicate, rule, names, report)
    for key, decided in (("then", rule.then), ("on_unknown", rule.on_unknown)):
        if isinstance(decided, Escalate):
            _channels((*path, key, "notify"), decided.notify, names, report)


def _parts(path: Path, predicate: Predicate) -> Iterator[tuple[Path, Predicate]]:
    """A predicate and everything within it, with paths."""
    yield path, predicate
    if isinstance(predicate, AllOf | AnyOf):
        key = "all" if isinstance(predicate, AllOf) else "any"
        for index, part in enumerate(predicate.parts):
            yield from _parts((*path, key, index), part)
    elif isinstance(predicate, Not):
        yield from _parts((*path, "not"), predicate.part)


def _predicate(path: Path, predicate: Predicate, rule: Rule, names: Names, report: Report) -> None:
    if isinstance(predicate, LatencyAbove | AvailabilityOk) and predicate.step is not None:
        if rule.journey == EVERY_JOURNEY:
            report.add(
                (*path, "step"), f': "{predicate.step}" is not a step of every journey', "name the rule's journey"
            )
        elif rule.journey in names.steps and predicate.step not in names.steps[rule.journey]:
            steps = names.steps[rule.journey]
            what = f': there is no step "{predicate.step}" in journey {rule.journey}'
            report.add((*path, "step"), what, nearest(predicate.step, steps))
    elif isinstance(predicate, SaturationAbove) and predicate.saturation not in names.saturation:
        what = f': there is no "{predicate.saturation}" under saturation'
        report.add((*path, "saturation"), what, nearest(predicate.saturation, names.saturation))
    elif isinstance(predicate, CompletionDrop | CompletionUnchanged):
        key, share = ("by", predicate.by) if isinstance(predicate, CompletionDrop) else ("within", predicate.within)
        if not 0 < share < 1:
            report.add((*path, key), f": {share:g} leaves nothing to tell apart", "write a share between 0% and 100%")


def _channels(path: Path, channels: tuple[str, ...], names: Names, report: Report) -> None:
    for index, channel in enumerate(channels):
        if channel not in names.channels:
            what = f': there is no "{channel}" under notify'
            report.add((*path, index), what, nearest(channel, names.channels))


def _channel(path: Path, channel: Channel, report: Report) -> None:
    kinds = channel.kinds
    if len(kinds) != 1:
        what = f" names {' and '.join(kinds)}" if kinds else " names no target"
        report.add(path, what, "give exactly one of pagerduty, slack, webhook")
    elif channel.every_ns is not None and kinds != ["webhook"]:
        report.add((*path, "every"), f": {kinds[0]} takes no heartbeat", "send it to a webhook, or remove every")
