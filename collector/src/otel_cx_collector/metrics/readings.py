"""The collector's parts read as points of metrics, at the moment somebody asks. No part counts anything for it.

Nothing here waits for a lock that a round holds: a scrape must answer while a round takes long.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from otel_cx_collector.control import Control
from otel_cx_collector.events import SLICE_S, PointRefusal, Refusal
from otel_cx_collector.incidents.words import Status
from otel_cx_collector.metrics import families as f
from otel_cx_collector.metrics.families import Family
from otel_cx_collector.notify.worker import ChannelState
from otel_cx_collector.receive.counts import Reason, Transport
from otel_cx_collector.totals import Tally
from otel_cx_collector.version import VERSION
from otel_cx_collector.views.source import Intake

SERIES: Final = 200
"""Names of one label that are served; what the others have counts together as ``other``."""
LABEL_CHARACTERS: Final = 100
"""As much of a name that senders chose is served."""
OTHER: Final = "other"
SEVERITIES: Final = ("P1", "P2", "P3", "P4")


class Point(NamedTuple):
    """One value of a metric."""

    family: Family
    value: float
    labels: tuple[str, ...] = ()


def of_health(problem: str) -> Iterator[Point]:
    """Of the process as a whole; ``problem``: why it is not ready."""
    yield Point(f.BUILD, 1, (VERSION,))
    yield Point(f.READY, not problem)


def of_node(tally: Tally) -> Iterator[Point]:
    """Of one ingest node, or of several added up: its receivers, its log, and the way from there to the store."""
    yield from _received(tally)
    yield Point(f.IN_FLIGHT, tally.in_flight_bytes)
    yield Point(f.IN_FLIGHT_LIMIT, tally.in_flight_limit_bytes)
    yield Point(f.IN_FLIGHT_CLIENTS, tally.in_flight_clients)
    yield Point(f.LOG_WAITING, tally.log_waiting)
    yield Point(f.DURABLE_LAG, tally.durable_lag_s)
    yield Point(f.FLUSH_LAG, tally.flush_lag_s)
    yield Point(f.STORE_UP, tally.store_up)
    yield Point(f.STORE_ROWS, tally.store_rows)
    yield Point(f.STORE_BLOCKS, tally.store_blocks)
    yield Point(f.STORE_ERRORS, tally.store_errors)


def _received(tally: Tally) -> Iterator[Point]:
    requests: Counter[tuple[str, str, str]] = Counter()
    wire, body = Counter(dict.fromkeys(Transport, 0)), Counter(dict.fromkeys(Transport, 0))
    for kind, total in tally.requests.items():
        requests[str(kind.transport), str(kind.signal or "unknown"), str(kind.status)] += total.requests
        wire[kind.transport] += total.wire_bytes
        body[kind.transport] += total.body_bytes
    for labels, number in requests.items():
        yield Point(f.REQUESTS, number, labels)
    for transport in Transport:
        for reason in Reason:
            yield Point(f.REQUESTS_REFUSED, tally.refused.get((transport, reason), 0), (transport, reason))
        yield Point(f.REQUESTS_ABANDONED, tally.abandoned.get(transport, 0), (transport,))
        yield Point(f.WIRE_BYTES, wire[transport], (transport,))
        yield Point(f.BODY_BYTES, body[transport], (transport,))


def of_intake(intake: Intake) -> Iterator[Point]:
    """Of what arrived, and of the log's size."""
    yield Point(f.SPANS, intake.spans)
    yield Point(f.STEPS, intake.steps)
    yield Point(f.SYNTHETIC, intake.synthetic)
    yield Point(f.POINTS, intake.metric_points)
    yield Point(f.SIGNAL_POINTS, intake.signal_points)
    yield Point(f.LOG_RECORDS, intake.log_records)
    yield Point(f.FACTS, intake.facts)
    yield Point(f.FACTS_REFUSED, intake.facts_refused)
    for reason in Refusal:
        yield Point(f.SPANS_REFUSED, intake.refused.get(reason, 0), (reason,))
    for point_reason in PointRefusal:
        yield Point(f.POINTS_REFUSED, intake.points_refused.get(point_reason, 0), (point_reason,))
    yield Point(f.LATE, intake.refused.get(Refusal.TOO_LATE, 0), ("traces",))
    yield Point(f.LATE, intake.points_refused.get(PointRefusal.TOO_LATE, 0), ("metrics",))
    yield from _overflow(intake.overflow)
    yield Point(f.LOG_USED, intake.log_used_bytes)
    yield Point(f.LOG_LIMIT, intake.log_limit_bytes)


def _overflow(overflow: Mapping[tuple[str, str], int]) -> Iterator[Point]:
    """The culprits seen first by name, so that a series once begun goes on; those after them by attribute."""
    rest: Counter[str] = Counter()
    named: Counter[tuple[str, str]] = Counter()
    for number, ((attribute, service), values) in enumerate(overflow.items()):
        if number < SERIES:
            named[attribute[:LABEL_CHARACTERS], service[:LABEL_CHARACTERS]] += values
        else:
            rest[attribute[:LABEL_CHARACTERS]] += values
    for attribute, values in rest.items():
        named[attribute, OTHER] += values
    for culprit, values in named.items():
        yield Point(f.OVERFLOW, values, culprit)


def of_control(control: Control, round_s: float) -> Iterator[Point]:
    """Of judging; ``round_s``: the time the last round took."""
    now_s, watermark_s, settle_s = control.now_s(), control.watermark, control.settle
    yield Point(f.ROUNDS, control.round)
    yield Point(f.ROUND_SECONDS, round_s)
    yield Point(f.ROUND_FAILING, bool(control.error))
    yield Point(f.SETTLE, settle_s)
    if watermark_s:
        yield Point(f.WATERMARK, watermark_s)
        yield Point(f.WATERMARK_LAG, now_s - watermark_s)
        yield Point(f.LATENESS, max(0, now_s - settle_s - watermark_s - SLICE_S))
    yield from _journeys(control)
    yield from _incidents(control)


def _journeys(control: Control) -> Iterator[Point]:
    """Those beyond the limit together: the sum of rows and episodes, the highest score."""
    subjects = dict(control.subjects)
    for name, subject in islice(subjects.items(), SERIES):
        yield Point(f.JOURNEY_ROWS, subject.track.rows, (name,))
        yield Point(f.JOURNEY_EPISODES, subject.track.walk.open is not None, (name,))
        if subject.pulse is not None:
            yield Point(f.JOURNEY_SCORE, subject.pulse.score, (name,))
    rest = list(subjects.values())[SERIES:]
    if rest:
        yield Point(f.JOURNEY_ROWS, sum(each.track.rows for each in rest), (OTHER,))
        yield Point(f.JOURNEY_EPISODES, sum(each.track.walk.open is not None for each in rest), (OTHER,))
        yield Point(f.JOURNEY_SCORE, max(each.pulse.score if each.pulse else 0.0 for each in rest), (OTHER,))


def _incidents(control: Control) -> Iterator[Point]:
    memories = list(control.judged.journeys.values())
    latest = [memory.incident for memory in memories if memory.incident is not None]
    unresolved = Counter(each.severity for each in latest if each.status is not Status.RESOLVED)
    for severity in SEVERITIES:
        yield Point(f.INCIDENTS, unresolved[severity], (severity,))


def of_outbox(undelivered: int) -> Iterator[Point]:
    """Of what is to be told."""
    yield Point(f.UNDELIVERED, undelivered)


def of_channels(states: Mapping[str, ChannelState]) -> Iterator[Point]:
    """Of the courier's channels."""
    for name, state in islice(states.items(), SERIES):
        yield from _channel(name, [state])
    rest = list(states.values())[SERIES:]
    if rest:
        yield from _channel(OTHER, rest)


def _channel(name: str, states: Iterable[ChannelState]) -> Iterator[Point]:
    states = list(states)
    yield Point(f.NOTICES, sum(each.delivered for each in states), (name, "delivered"))
    yield Point(f.NOTICES, sum(each.failed for each in states), (name, "failed"))
    yield Point(f.NOTICES, sum(each.refused for each in states), (name, "refused"))
    yield Point(f.CHANNEL_UP, all(each.since_s is None for each in states), (name,))
