"""Rules and channels in plain words, the second half of what ``validate`` says. Not their evaluation."""

from collections.abc import Iterator
from typing import Final

from otel_cx_collector.decide.text import condition, consequence, without_evidence
from otel_cx_collector.decide.tree import rules_for
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.inventory.decisions import EVERY_JOURNEY, SEVERITIES, Channel, Rule
from otel_cx_collector.inventory.quantities import format_duration
from otel_cx_collector.notify.route import group_wait_s, wanted

INDENT: Final = "  "


def rules_and_channels(inventory: Inventory) -> str:
    """Some lines, each ended by a newline; begins with an empty one."""
    return "".join(f"{line}\n" for line in ("", *_rules(inventory), *_channels(inventory)))


def _rules(inventory: Inventory) -> Iterator[str]:
    written = inventory.escalation
    yield "first rule that is true decides:" if written else "no escalation, so this rule is implied:"
    for number, rule in enumerate(written or rules_for(inventory, EVERY_JOURNEY), 1):
        yield f"{INDENT}{number}. {rule.name}, for {_whose(rule)}"
        yield f"{INDENT * 3}when {condition(rule.when)}"
        yield f"{INDENT * 3}then {consequence(rule.then)}; when unknown: {without_evidence(rule)}"


def _whose(rule: Rule) -> str:
    return "every journey" if rule.journey == EVERY_JOURNEY else rule.journey


def _channels(inventory: Inventory) -> Iterator[str]:
    if not inventory.notify:
        yield "no channels: incidents are on the page and in the API, nobody is told"
        return
    yield "channels:"
    width = max(map(len, inventory.notify))
    for name, channel in inventory.notify.items():
        yield f"{INDENT}{name:<{width}}  {'; '.join(_channel(channel))}"


def _channel(channel: Channel) -> Iterator[str]:
    kind = channel.kinds[0]
    if channel.every_ns is not None:
        yield f"{kind}, a heartbeat every {format_duration(channel.every_ns)} as long as the collector works"
        return
    taken = [severity for severity in SEVERITIES if wanted(channel, severity)]
    yield f"{kind} takes {', '.join(taken)}{'' if channel.min_severity else ' (default)'}"
    wait_s = group_wait_s(channel)
    if wait_s:
        yield f"incidents of one cause within {wait_s}s in one message"
    quiet = channel.quiet_hours
    if quiet is not None:
        begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (quiet.from_min, quiet.to_min))
        urgent = SEVERITIES[: SEVERITIES.index(quiet.urgent) + 1]
        yield f"waits from {begin} to {end} {quiet.zone}, but not with {', '.join(urgent)}"
