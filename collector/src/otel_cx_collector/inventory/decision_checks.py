"""Relations within decision rules, saturation and channels. Not shapes."""

from collections.abc import Iterator, Mapping

from otel_cx_collector.inventory.addresses import is_listed, is_this_machine
from otel_cx_collector.inventory.decisions import (
    CHANNELS,
    EVERY_JOURNEY,
    ONE_BY_ONE,
    AllOf,
    AnyOf,
    AvailabilityOk,
    Channel,
    CompletionDrop,
    CompletionUnchanged,
    Email,
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
from otel_cx_collector.inventory.quantities import printable
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
        _heartbeats_told(path, rule, file.notify, report)
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


def _heartbeats_told(path: Path, rule: Rule, channels: Mapping[str, Channel], report: Report) -> None:
    for key, decided in (("then", rule.then), ("on_unknown", rule.on_unknown)):
        for index, name in enumerate(decided.notify if isinstance(decided, Escalate) else ()):
            if name in channels and channels[name].every_ns is not None:
                what = f": {name} is a heartbeat and gets no notices"
                report.add((*path, key, "notify", index), what, "name a channel without every")


def _channel(path: Path, channel: Channel, report: Report) -> None:
    kinds = channel.kinds
    if len(kinds) != 1:
        what = f" names {' and '.join(kinds)}" if kinds else " names no target"
        report.add(path, what, f"give exactly one of {', '.join(CHANNELS)}")
        return
    if channel.every_ns is not None:
        _heartbeat(path, channel, report)
    if channel.group_wait_ns and kinds[0] in ONE_BY_ONE:
        what = f": {kinds[0]} keeps one alert for each incident"
        report.add((*path, "group_wait"), what, f"remove group_wait; {kinds[0]} groups alerts itself")
    quiet = channel.quiet_hours
    if quiet is not None and quiet.from_min == quiet.to_min:
        report.add((*path, "quiet_hours", "to"), " is when they begin", "write another time, or remove quiet_hours")
    if channel.email is not None:
        _email((*path, "email"), channel.email, channel.allow_private, report)


def _heartbeat(path: Path, channel: Channel, report: Report) -> None:
    if channel.webhook is None:
        report.add(
            (*path, "every"), f": {channel.kinds[0]} takes no heartbeat", "send it to a webhook, or remove every"
        )
    for key in ("min_severity", "quiet_hours", "group_wait"):
        if getattr(channel, f"{key}_ns" if key == "group_wait" else key) is not None:
            report.add((*path, key), ": a channel with every is a heartbeat and gets no notices", f"remove {key}")


def _email(path: Path, email: Email, allowed: tuple[str, ...], report: Report) -> None:
    if (email.username is None) != (email.password_file is None):
        missing = "password_file" if email.password_file is None else "username"
        report.add(path, f": {missing} is missing", "write both username and password_file, or neither")
    if email.tls != "none":
        return
    if email.username is not None:
        report.add((*path, "tls"), ": none would show the password to the network", "write starttls or tls")
    elif not (is_this_machine(email.host) or is_listed(email.host, allowed)):
        what = f': none would send mail in the clear to "{printable(email.host)}"'
        report.add((*path, "tls"), what, "write starttls or tls; a private relay can be listed under allow_private")
