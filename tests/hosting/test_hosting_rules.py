"""The platform's two rules over recordings made of its history: true with enough people, unknown with few.

Made people stand in for real ones, so that an hour and a half of them is judged in seconds. Real processes: tests/e2e.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from spans import json_body

from examples.hosting import behaviour
from examples.hosting.faults import Faults
from examples.hosting.history import attempts
from examples.hosting.history.attempts import NS, Execution
from examples.hosting.history.spans import Encoder
from examples.hosting.services.billing.database import METRIC, POOL
from examples.hosting.services.gateway import SLOW_S
from otel_cx.pseudonym import Keyring
from otel_cx_collector import inventory, replay
from otel_cx_collector.measure.report import timestamp

CX = inventory.load(Path(__file__).parents[2] / "examples/hosting/cx.yaml")
SLOW, IMPACT, FULL = (rule.name for rule in CX.escalation)
START_S = 1_767_600_000
BEFORE_MIN, FAULT_MIN = 60, 20
FEW = 0.1
"""24 checkouts a minute."""
MISSING = re.compile(r"about [\d,]+ more sessions?, .+ at this rate")
FAULT_AT = timestamp(START_S + 60 * BEFORE_MIN)

Change = Callable[[list[Execution]], Iterable[Execution]]


def people(rate: float, change: Change = list) -> Iterator[list[Execution]]:
    """Checkouts as busy as the present, by minute; ``change`` is what the fault makes of an attempt in its time."""
    for minute in range(BEFORE_MIN + FAULT_MIN):
        minute_s = START_S + 60 * minute
        made = attempts.minute("checkout", minute_s, minute_s, rate)
        yield [each for attempt in made for each in (change(attempt) if minute >= BEFORE_MIN else attempt)]


def slow_checkout(home: Path) -> Change:
    """As the gateway and the people have it."""
    faults = Faults(home)
    faults.switch("slow-checkout")

    def change(attempt: list[Execution]) -> Iterator[Execution]:
        late_ns, waits_s = 0, behaviour.temper(Random(attempt[0].attempt)).waits_s("checkout", "payment")
        for each in attempt:
            hit = each.step == "payment" and faults.hits("slow-checkout", each.who.id)
            began_ns, late_ns = each.start_ns + late_ns, late_ns + (int(SLOW_S * NS) if hit else 0)
            yield each._replace(start_ns=began_ns, end_ns=each.end_ns + late_ns)
            if hit and waits_s < SLOW_S:
                return

    return change


def pool(used: int) -> Iterator[ExportMetricsServiceRequest]:
    """What billing says of its connections, from the beginning of the fault."""
    for at_s in range(START_S + 60 * BEFORE_MIN, START_S + 60 * (BEFORE_MIN + FAULT_MIN), 10):
        request = ExportMetricsServiceRequest()
        block = request.resource_metrics.add()
        block.resource.attributes.append(_text("service.name", "billing"))
        metric = block.scope_metrics.add().metrics.add(name=METRIC)
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for state, number in (("used", used), ("idle", POOL - used)):
            point = metric.sum.data_points.add(time_unix_nano=at_s * NS, as_int=number)
            point.attributes.append(_text("db.client.connection.state", state))
        yield request


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def judged(
    file: Path, minutes: Iterable[list[Execution]], levels: Iterable[ExportMetricsServiceRequest] = ()
) -> dict[str, Any]:
    """The report over a recording of them, a line or more for each minute as exporters would have sent them."""
    encoder = Encoder(Keyring.parse("k1:0123456789abcdef"))
    spans = (ExportTraceServiceRequest.FromString(each) for made in minutes for each in encoder.requests(made))
    file.write_bytes(b"\n".join(json_body(message) for message in (*spans, *levels)))
    return replay.run([str(file)], CX)


def verdicts(report: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [one for one in report["decisions"] if one["rule"] == rule and one["journey"] == "checkout"]


def test_slow_payments_and_fewer_orders_are_a_p1_and_the_business_is_told(tmp_path: Path) -> None:
    report = judged(tmp_path / "a.jsonl", people(0.5, slow_checkout(tmp_path)))
    last = verdicts(report, SLOW)[-1]
    assert (last["verdict"], last["severity"]) == ("true", "P1")
    (incident,) = report["incidents"]
    assert incident["severity"] == "P1"
    assert incident["reach"]["affected"] > 500
    fall = last["because"][1]
    assert fall["low"] < fall["value"] < fall["high"]


def test_a_full_pool_that_nobody_feels_is_watched_and_opens_nothing(tmp_path: Path) -> None:
    report = judged(tmp_path / "a.jsonl", people(1.0), pool(17))
    true = next(one for one in verdicts(report, FULL) if one["verdict"] == "true")
    assert (true["severity"], true["action"]) == (None, "monitor")
    assert report["incidents"] == []


def test_with_few_people_slow_payments_are_a_p2_in_doubt_and_the_missing_sessions_are_counted(tmp_path: Path) -> None:
    report = judged(tmp_path / "a.jsonl", people(FEW, slow_checkout(tmp_path)))
    doubt = next(one for one in verdicts(report, SLOW) if one["at"] > FAULT_AT and one["verdict"] == "unknown")
    latency, completion = doubt["because"]
    assert (latency["verdict"], completion["verdict"]) == ("true", "unknown")
    assert MISSING.fullmatch(completion["missing"])
    assert doubt["severity"] == "P2"


def test_with_few_people_nobody_can_say_that_a_full_pool_is_not_felt(tmp_path: Path) -> None:
    report = judged(tmp_path / "a.jsonl", people(FEW), pool(17))
    found = verdicts(report, FULL)
    assert "true" not in {one["verdict"] for one in found}
    completion = found[-1]["because"][1]
    assert (found[-1]["verdict"], found[-1]["action"]) == ("unknown", None)
    assert MISSING.fullmatch(completion["missing"])
    assert report["incidents"] == []
