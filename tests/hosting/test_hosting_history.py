"""The made day of history: what it sends is what the collector reads, the same each time, and nobody's raw id."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hosting.sink import Sink
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from examples.hosting import everyday, people
from examples.hosting.everyday import ATTEMPTS_A_MINUTE, STEPS
from examples.hosting.history import attempts, calendar
from examples.hosting.history.attempts import NS, Execution
from examples.hosting.history.send import executions, send
from examples.hosting.history.spans import A_REQUEST, SHAPES, Encoder, Known
from otel_cx.pseudonym import Keyring
from otel_cx_collector import inventory
from otel_cx_collector.decode import DecodeLimits
from otel_cx_collector.events import Grade, StepRow
from otel_cx_collector.tag import Bounds, Tagger, decode_traces

KEYS = Keyring.parse("k1:0123456789abcdef")
NOW = 1_767_600_000.0
CX = inventory.load(Path(__file__).parents[2] / "examples/hosting/cx.yaml")

NOBODY = {Known.DEVICE, Known.TIER}


def made(minutes: int = 5, ago_s: float = 0.0) -> list[Execution]:
    until = NOW - ago_s
    return list(executions(until - 60 * minutes, until, NOW, 1.0))


def rows_of(made: list[Execution]) -> list[StepRow]:
    bounds = Bounds(earliest_ns=int((NOW - calendar.DAY_S) * NS), latest_ns=int((NOW + 300) * NS))
    tagger = Tagger(CX)
    decoded = [decode_traces(request, tagger, bounds, DecodeLimits()) for request in Encoder(KEYS).requests(made)]
    assert not any(one.rejected or one.overflow or one.synthetic for one in decoded)
    return [row for one in decoded for row in one.rows]


def test_making_the_same_stretch_twice_makes_the_same_bytes() -> None:
    assert list(Encoder(KEYS).requests(made())) == list(Encoder(KEYS).requests(made()))


def test_two_stretches_made_apart_are_the_attempts_of_both_made_at_once() -> None:
    apart = [*executions(NOW - 300, NOW - 130, NOW, 1.0), *executions(NOW - 130, NOW, NOW, 1.0)]
    assert sorted(apart) == sorted(executions(NOW - 300, NOW, NOW, 1.0))


def test_no_two_spans_share_an_id() -> None:
    spans = made(20)
    assert len({(span.trace_id, span.span_id) for span in spans}) == len(spans)


def test_the_collector_makes_a_row_of_every_span() -> None:
    spans = made()
    rows = rows_of(spans)
    assert Counter((row.journey, row.step, row.attempt) for row in rows) == Counter(
        (span.journey, span.step, span.attempt) for span in spans
    )


def test_rows_say_what_was_made() -> None:
    spans = made(30)
    outcomes = Counter((span.journey, span.step, span.verdict.value) for span in spans)
    assert Counter((row.journey, row.step, row.outcome.value) for row in rows_of(spans)) == outcomes
    assert {outcome for *_, outcome in outcomes} == {"ok", "failed", "rejected"}


def test_history_is_marked_and_its_people_have_pseudonyms_segments_and_regions() -> None:
    for row in rows_of(made()):
        assert row.own == {"origin": "history"}
        assert row.segment in people.SEGMENTS or (row.journey, row.step) == ("signup", "form")
        assert row.customer.startswith("k1.") or SHAPES[row.journey, row.step].knows in NOBODY
        assert row.grade is (Grade.SESSION if row.journey == "support" else Grade.EXPLICIT)


def test_money_stands_on_confirmed_orders_alone() -> None:
    for row in rows_of(made()):
        assert (row.currency == "EUR") == (row.step == "confirm" and row.outcome == "ok")
        assert (row.amount in everyday.NEXT_PLAN_EUR.values()) == (row.currency == "EUR")


def test_no_raw_id_is_in_any_byte_that_is_sent() -> None:
    sent = b"".join(Encoder(KEYS).requests(made()))
    assert not re.search(rb"cust-\d|acct-\d|org-\d|@example", sent)


def test_a_request_is_never_larger_than_agreed() -> None:
    requests = [ExportTraceServiceRequest.FromString(one) for one in Encoder(KEYS).requests(made(10))]
    sizes = [sum(len(scope.spans) for block in one.resource_spans for scope in block.scope_spans) for one in requests]
    assert max(sizes) == A_REQUEST
    assert sum(sizes) == len(made(10))


def test_nothing_is_older_than_the_collector_takes() -> None:
    oldest = min(span.end_ns for span in executions(NOW - calendar.LENGTH_S, NOW - calendar.LENGTH_S + 60, NOW, 1.0))
    assert NOW - oldest / NS < calendar.DAY_S - 600


def test_the_last_hour_is_as_busy_as_live_traffic() -> None:
    began = Counter({(span.journey, span.attempt) for span in made(60)})
    for journey, a_minute in ATTEMPTS_A_MINUTE.items():
        attempts_made = sum(1 for name, _ in began if name == journey)
        assert attempts_made == pytest.approx(60 * a_minute, rel=0.15)


def test_busyness_has_no_steps() -> None:
    shares = [calendar.busy(age_s) for age_s in range(0, calendar.LENGTH_S, 60)]
    assert shares[0] == 1
    assert max(abs(one - other) for one, other in pairwise(shares)) < 0.02


def test_a_mishap_of_the_past_is_in_the_past_and_over_an_hour_ago() -> None:
    for mishap in calendar.MISHAPS:
        spans = [
            span
            for minute_s in range(int(NOW) - mishap.ago_s, int(NOW) - mishap.ago_s + mishap.lasted_s, 60)
            for attempt in attempts.minute(mishap.journey, minute_s, NOW, 1.0)
            for span in attempt
            if span.step == mishap.step and mishap.region in {None, span.who.region}
        ]
        failed = sum(span.verdict is everyday.Verdict.FAILED for span in spans)
        assert failed / len(spans) > mishap.failed / 3
        assert mishap.ago_s - mishap.lasted_s > 90 * 60


def test_every_step_of_the_inventory_has_a_past_and_every_past_a_step() -> None:
    steps = {(name, step.name) for name, journey in CX.journeys.items() for step in journey.steps}
    assert set(SHAPES) == steps
    assert {(journey, step) for journey in STEPS for step in STEPS[journey]} == steps - {("deployment", "progress")}


def test_sending_asks_again_while_the_collector_is_unavailable() -> None:
    sink = Sink(unavailable=2)
    try:
        sent = send(sink.endpoint, KEYS, iter(made(1)))
    finally:
        sink.close()
    assert sent.spans == len(sink.spans()) == len(made(1))
    assert sink.refused == 2
