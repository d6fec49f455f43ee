"""The inventory in plain words: what is judged, how, and which defaults are in force. Not a report on traffic."""

from collections.abc import Iterator
from typing import Any

from otel_cx_collector.inventory.burn_pairs import PAIRS, can_fire, scaled
from otel_cx_collector.inventory.decisions import Saturation
from otel_cx_collector.inventory.model import MATURE_NS, Dimension, Inventory, Journey
from otel_cx_collector.inventory.quantities import format_duration, format_share, format_time
from otel_cx_collector.inventory.shape import ErrorRule, Ignore, Match, Objective, Step, WrittenJourney

INDENT = "  "
DEFAULT = " (default)"


def explain(inventory: Inventory) -> str:
    """Some lines for each journey, ended by a newline; what stands as the format's default is marked so."""
    count = len(inventory.journeys)
    where = " or ".join(inventory.environments)
    judged = f"{count} {'journey' if count == 1 else 'journeys'}, judged where deployment.environment.name is {where}"
    lines = [judged, *_beside(inventory)]
    for journey in inventory.journeys.values():
        lines += ["", *_journey(journey)]
    return "\n".join(lines) + "\n"


def _beside(inventory: Inventory) -> Iterator[str]:
    yield "dimensions, else other, absent unset:"
    width = max(map(len, inventory.dimensions))
    for dimension in inventory.dimensions.values():
        yield f"{INDENT}{dimension.name:<{width}}  {_values(dimension)}"
    for key, identity in inventory.identify.items():
        hashed = ", hashed in the collector" if identity.hash else ""
        yield f"{key} of services without the SDK: {identity.attribute}{hashed}"
    if inventory.ignore:
        yield "counted as synthetic, never as customers:"
        yield from (f"{INDENT}{_ignored(entry)}" for entry in inventory.ignore)
    for name, resource in inventory.saturation.items():
        yield f"resource {name}: {_resource(resource)}"
    for window in inventory.maintenance:
        yield f"maintenance of {window.journey} from {format_time(window.from_ns)} to {format_time(window.to_ns)}"


def _values(dimension: Dimension) -> str:
    if not dimension.values:
        return "no values listed: whatever spans carry becomes other"
    values = [value if weight == 1 else f"{value} (weight {weight:g})" for value, weight in dimension.values.items()]
    carried = f", from {dimension.attribute}" if dimension.own else ""
    return ", ".join(values) + carried


def _ignored(entry: Ignore) -> str:
    named = {"service": entry.service, "route": entry.route, "user agents that begin with": entry.user_agent}
    return ", ".join(f"{what} {value}" for what, value in named.items() if value is not None)


def _resource(resource: Saturation) -> str:
    where = "".join(f", {key} {value}" for key, value in resource.where.items())
    warn = f"{format_share(resource.warn)}{DEFAULT if resource.warn == Saturation.model_fields['warn'].default else ''}"
    return f"{resource.metric}{where}, of {resource.limit:g}, worth a word above {warn}; the worst instance counts"


def _journey(journey: Journey) -> Iterator[str]:
    yield _headline(journey)
    yield f"{INDENT}steps, in loose order:"
    yield from (f"{INDENT * 2}{line}" for line in _steps(journey))
    yield from (f"{INDENT}{line}" for line in _attempts(journey))
    yield (
        f"{INDENT}good is:"
        if journey.objectives
        else f"{INDENT}no objectives: nothing is promised, nothing has a budget"
    )
    for each in journey.objectives:
        yield f"{INDENT * 2}{_objective(each, journey)}"
        yield f"{INDENT * 3}{_alerts(each)}"
    yield f"{INDENT}harm: {_harm(journey)}"
    if journey.match:
        yield f"{INDENT}spans the SDK did not tag, first rule in the file wins:"
        yield from (f"{INDENT * 2}{_match(rule)}" for rule in journey.match)
    else:
        yield f"{INDENT}no match rules: only spans tagged by the SDK count"
    if journey.errors:
        yield f"{INDENT}errors are called, first match:"
        yield from (f"{INDENT * 2}{_error(rule)}" for rule in journey.errors)
    if journey.actions:
        yield f"{INDENT}action plan:"
        for action in journey.actions:
            when = f"when {action.when}: " if action.when else ""
            yield f"{INDENT * 2}{when}{action.do}{f' ({action.link})' if action.link else ''}"


def _headline(journey: Journey) -> str:
    named = journey.name if journey.title == journey.name else f"{journey.name}: {journey.title}"
    facts = {
        "owner": journey.owner,
        "told": ", ".join(journey.stakeholders) or None,
        "service": journey.service,
        "KPI": f"{journey.kpi.name} ({journey.kpi.sli})" if journey.kpi else None,
    }
    known = [f"{what} {value}" for what, value in facts.items() if value]
    weight = f"criticality {journey.criticality:g}{_mark(journey.criticality, 'criticality')}"
    return f"{named}  [{'; '.join([weight, *known])}]"


def _mark(value: Any, field: str) -> str:
    """Says when a value is the default of a field of the journey."""
    return DEFAULT if value == WrittenJourney.model_fields[field].default else ""


def _steps(journey: Journey) -> Iterator[str]:
    width = max(len(step.name) for step in journey.steps)
    default = Step.model_fields["slow_after_ns"].default
    for number, step in enumerate(journey.steps, 1):
        slow = f"{format_duration(step.slow_after_ns)}{DEFAULT if step.slow_after_ns == default else ''}"
        ends = ", ok completes the attempt" if step.name in journey.terminal else ""
        yield f"{number}. {step.name:<{width}}  stage {step.stage:g}, slow after {slow}{ends}"


def _attempts(journey: Journey) -> Iterator[str]:
    keys = [
        "otelcx.journey.attempt",
        *([journey.attempt] if journey.attempt else []),
        "session.id",
        "customer",
        "trace",
    ]
    mature = DEFAULT if journey.mature_ns == min(journey.timeout_ns, MATURE_NS) else ""
    yield f"an attempt is what shares {', else '.join(keys)}"
    yield (
        f"it is over after {format_duration(journey.timeout_ns)} of silence{_mark(journey.timeout_ns, 'timeout_ns')}; "
        f"live completion counts those older than {format_duration(journey.mature_ns)}{mature}"
    )


def _objective(objective: Objective, journey: Journey) -> str:
    promised = f"{format_share(objective.target)} over {format_duration(objective.window_ns)}"
    where = f" of {objective.step}" if objective.step else ""
    if objective.sli == "completion":
        ends = " or ".join(step.name for step in journey.steps if step.name in journey.terminal)
        good = f"attempts with {ends} ok, of those started at least {format_duration(journey.timeout_ns)} ago"
    elif objective.sli == "latency":
        good = f"ok executions{where} within {format_duration(objective.threshold_ns or 0)}, of ok executions{where}"
    else:
        good = f"ok executions{where}, of ok and failed ones; rejected and cancelled ones are left out"
    return f"{objective.sli} {promised}: {good}"


def _alerts(objective: Objective) -> str:
    """Burn-rate pairs that are watched; a default pair that can never fire is not."""
    if objective.sli == "completion":
        return "no burn alerts: completion has a budget alone"
    names = PAIRS if objective.alerts is None else objective.alerts
    factors = {name: scaled(PAIRS[name], objective.window_ns) for name in names}
    watched = [
        f"{PAIRS[name].kind} above {float(factor):g} ({name})"
        for name, factor in factors.items()
        if can_fire(factor, objective.target)
    ]
    default = DEFAULT if objective.alerts is None else ""
    return f"burn alerts, in times the promised pace: {', '.join(watched)}{default}" if watched else "no burn alerts"


def _harm(journey: Journey) -> str:
    within = f"{format_duration(journey.recovery_ns)}{_mark(journey.recovery_ns, 'recovery_ns')}"
    slow = f"slow {journey.per_second:g} a second beyond slow after, at most {journey.max_slow:g}"
    return f"failed 1, or 0.3 when the step is ok within {within}; rejected 0.3; {slow}"


def _match(rule: Match) -> str:
    named = {"service": rule.service, "route": rule.route, "RPC": rule.rpc}
    asked = ", ".join(f"{what} {value}" for what, value in named.items() if value is not None)
    return f"{asked} -> {rule.step}"


def _error(rule: ErrorRule) -> str:
    asked = [
        f"at {rule.step}" if rule.step else "at any step",
        f"type {rule.error_type}" if rule.error_type else "any type",
    ]
    again = {True: "may be tried again", False: "is final", None: "recoverable as the span says"}[rule.recoverable]
    cost = f"; costs: {rule.consequence}" if rule.consequence else ""
    return f"{rule.error_class}: {', '.join(asked)}; {again}{cost}"
