"""Real scrapes of real parts: what arrived, waits, failed and was told is what the page says."""

from pathlib import Path

import pytest
from control_scene import stored
from metrics_scene import Collector, collector, open_metrics, samples, settled
from otlp import JSON, post
from recordings import START_S, Step, request
from rows import Row
from structlog.testing import capture_logs

from otel_cx_collector.clock import now_ns
from otel_cx_collector.control import Control
from otel_cx_collector.metrics import Metrics, of_channels, of_control, of_intake, readings
from otel_cx_collector.metrics.readings import OTHER, SERIES
from otel_cx_collector.notify.worker import ChannelState
from otel_cx_collector.views.source import Intake

NS = 1_000_000_000


def body(*steps: Step, age_s: float = 1) -> bytes:
    """One export of steps that ended ``age_s`` ago."""
    shift = now_ns() // NS - START_S - age_s
    moved = [Step(shift, each.attempt, each.journey, each.step, attributes=each.attributes) for each in steps]
    return request([each.span(number) for number, each in enumerate(moved)], service="shop").encode()


def sent(made: Collector, *steps: Step, age_s: float = 1) -> int:
    return post(made.otlp_port, body(*steps, age_s=age_s), content_type=JSON).status


def test_what_arrived_is_counted_by_what_became_of_it(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        assert sent(made, Step(0, "a"), Step(0, "b"), Step(0, "c", journey="nope")) == 200
        assert sent(made, Step(0, "d"), age_s=25 * 3600) == 200
        assert sent(made, Step(0, "e", attributes={"otelcx.segment": "unheard-of"})) == 200
        assert post(made.otlp_port, b"{", content_type=JSON).status == 400
        settled(made)
        found = made.scrape()

    assert found["spans_received_total", ()] == 5
    assert found["steps_accepted_total", ()] == 3
    assert found["spans_refused_total", (("reason", "unknown_journey"),)] == 1
    assert found["spans_refused_total", (("reason", "bad_id"),)] == 0
    assert found["late_refused_total", (("signal", "traces"),)] == 1
    assert found["cardinality_overflow_total", (("attribute", "otelcx.segment"), ("service", "shop"))] == 1
    assert found["requests_total", (("signal", "traces"), ("status", "200"), ("transport", "http"))] == 3
    assert found["requests_refused_total", (("reason", "undecodable"), ("transport", "http"))] == 1
    assert found["requests_refused_total", (("reason", "client_share"), ("transport", "grpc"))] == 0
    assert found["received_wire_bytes_total", (("transport", "http"),)] > 1_000
    assert found["in_flight_bytes", ()] == 0
    assert found["in_flight_limit_bytes", ()] == 128 << 20
    assert found["store_rows_total", ()] == 3
    assert found["log_used_bytes", ()] > 0
    assert found["store_up", ()] == 1
    assert found["flush_lag_seconds", ()] == 0
    assert found["log_waiting_batches", ()] == 0
    assert found["process_resident_memory_bytes", ()] > 1 << 20


def test_a_store_that_is_away_is_said_with_what_waits_for_it(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        made.store.away = True
        assert sent(made, Step(0, "a")) == 200
        while not made.value("store_errors_total"):
            pass
        found = made.scrape()
        made.store.away = False
        settled(made)
        after = made.scrape()

    assert found["store_up", ()] == 0
    assert found["log_waiting_batches", ()] == 1
    assert found["flush_lag_seconds", ()] > 0
    assert (after["store_up", ()], after["flush_lag_seconds", ()]) == (1, 0)
    assert after["store_errors_total", ()] >= found["store_errors_total", ()]


def test_rounds_and_journeys_are_said_as_control_has_them(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        assert made.value("ready") == 0
        assert ("watermark_lag_seconds", ()) not in made.scrape()
        made.scene.store.arrived.append(stored([Row(second, str(second)) for second in range(0, 240, 5)]))
        made.scene.judge(300)
        made.scene.now_s = 400
        found = made.scrape()

    assert found["ready", ()] == 1
    assert found["rounds_total", ()] == 1
    assert found["round_seconds", ()] == 0.25
    assert found["round_failing", ()] == 0
    assert found["watermark_timestamp_seconds", ()] == START_S + 280
    assert found["watermark_lag_seconds", ()] == 120
    assert found["settle_seconds", ()] == 15
    assert found["control_late_seconds", ()] == 400 - 280 - 15 - 10
    assert found["journey_rows", (("journey", "checkout"),)] == 48
    assert found["journey_score", (("journey", "checkout"),)] == 0
    assert found["journey_episodes_open", (("journey", "checkout"),)] == 0
    assert found["incidents_open", (("severity", "P1"),)] == 0
    assert found["notices_undelivered", ()] == 0


def test_a_scrape_does_not_wait_for_a_round(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        made.scene.judge(300)
        with made.scene.control.lock:
            assert made.value("rounds_total") == 1


def test_a_failed_round_is_said(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        made.scene.control.error = "the store is away"
        assert made.value("round_failing") == 1


def test_channels_are_said_by_what_became_of_their_notices(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        made.channels["pager"] = ChannelState(delivered=3, failed=2, refused=1, error="no route", since_s=START_S)
        found = made.scrape()

    told = {state: found["notices_total", (("channel", "pager"), ("state", state))] for state in states()}
    assert told == {"delivered": 3, "failed": 2, "refused": 1}
    assert found["channel_up", (("channel", "pager"),)] == 0


def states() -> list[str]:
    return ["delivered", "failed", "refused"]


def test_a_part_that_cannot_be_read_costs_only_its_own_metrics(tmp_path: Path) -> None:
    with collector(tmp_path) as made, capture_logs() as lines:
        made.scene.state.close()
        found = made.scrape()
        made.scrape()

    assert found["metrics_unreadable", (("part", "outbox"),)] == 1
    assert found["metrics_unreadable", (("part", "node"),)] == 0
    assert ("notices_undelivered", ()) not in found
    assert found["spans_received_total", ()] == 0
    assert [line["event"] for line in lines] == ["metrics.unreadable"]
    assert lines[0]["part"] == "outbox"


# ---------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=rubbish", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_form_is_the_one_asked_for_and_named(tmp_path: Path, accept: str, content_type: str) -> None:
    with collector(tmp_path) as made:
        text, named = made.page(accept)

    assert named == content_type
    families = list(open_metrics(text)) if "openmetrics" in content_type else list(samples(text))
    assert families


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        sent(made, Step(0, "a"))
        settled(made)
        plain = {(one.name, tuple(one.labels.items())): one.value for one in samples(made.page()[0])}
        text, named = made.page("application/openmetrics-text; version=1.0.0; escaping=underscores, text/plain;q=0.5")
        opened = {
            (one.name, tuple(one.labels.items())): one.value for family in open_metrics(text) for one in family.samples
        }

    assert named.startswith("application/openmetrics-text; version=1.0.0")
    stable = [key for key in plain if not key[0].startswith("process_")]
    assert {key: plain[key] for key in stable} == {key: opened[key] for key in stable}


# ---------------------------------------------------------------------- bounds


def test_services_beyond_the_limit_count_together_and_a_series_goes_on() -> None:
    overflow = {("otelcx.segment", f"service-{number}"): 1 for number in range(SERIES + 50)}
    before = {point.labels: point.value for point in of_intake(Intake(overflow=overflow)) if len(point.labels) == 2}
    overflow[("otelcx.segment", f"service-{SERIES + 7}")] = 1_000
    after = {point.labels: point.value for point in of_intake(Intake(overflow=overflow)) if len(point.labels) == 2}

    assert len(before) == SERIES + 1
    assert before["otelcx.segment", OTHER] == 50
    assert {labels: after[labels] - value for labels, value in before.items() if after[labels] != value} == {
        ("otelcx.segment", OTHER): 999
    }


def test_names_that_senders_chose_are_cut_and_a_service_called_other_joins_the_others() -> None:
    overflow = {("a", "x" * 5_000): 1, ("a", "x" * 5_001): 2, ("a", OTHER): 4}
    found = [point for point in of_intake(Intake(overflow=overflow)) if len(point.labels) == 2]

    assert {point.labels: point.value for point in found} == {("a", "x" * 100): 3, ("a", OTHER): 4}


def test_channels_beyond_the_limit_count_together() -> None:
    channels = {f"channel-{number}": ChannelState(delivered=1) for number in range(SERIES + 3)}
    channels["last"] = ChannelState(since_s=1)
    found = {(point.family.name, *point.labels): point.value for point in of_channels(channels)}

    assert found["otelcx_collector_notices", OTHER, "delivered"] == 3
    assert found["otelcx_collector_channel_up", OTHER] == 0
    assert len(found) == 4 * (SERIES + 1)


def test_journeys_beyond_the_limit_are_summed_and_their_worst_score_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "SERIES", 0)
    with collector(tmp_path) as made:
        made.scene.store.arrived.append(stored([Row(second, str(second)) for second in range(0, 240, 5)]))
        made.scene.judge(300)
        found = named(made.scene.control)

    assert found["otelcx_collector_journey_rows", OTHER] == 48
    assert found["otelcx_collector_journey_score", OTHER] == 0
    assert found["otelcx_collector_journey_episodes_open", OTHER] == 0


def named(control: Control) -> dict[tuple[str, ...], float]:
    return {(point.family.name, *point.labels): point.value for point in of_control(control, 0)}


def test_nothing_is_read_when_the_registry_is_made() -> None:
    def never() -> list[readings.Point]:
        raise AssertionError

    Metrics({"never": never}, None)  # type: ignore[arg-type]  # it is told of failures to read, and there are none
