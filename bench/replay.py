"""How long a replay of many spans takes: ``.venv/bin/python bench/replay.py [SPANS] [STEP_SHARE]``."""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from otel_cx import semconv
from otel_cx_collector import inventory, replay
from otel_cx_collector.measure.report import dump

START_NS = 1_767_603_600 * 10**9
A_LINE = 500
TEXT = """
journeys: {checkout: {steps: [cart, payment, confirm], objectives: [{sli: availability, target: 99.9%, window: 30d}]}}
"""


def write(path: Path, spans: int, step_share: float) -> None:
    """An hour of spans, ten attributes each, as OTLP JSON lines."""
    rng = random.Random(1)
    with path.open("w") as file:
        for at in range(0, spans, A_LINE):
            end = START_NS + at * 3600 * 10**9 // spans
            line = [span(rng, end + i, step=rng.random() < step_share) for i in range(min(A_LINE, spans - at))]
            resource = {"attributes": [pair("service.name", "shop"), pair("deployment.environment.name", "production")]}
            file.write(json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": line}]}]}) + "\n")


def span(rng: random.Random, end: int, *, step: bool) -> dict[str, object]:
    named = {semconv.JOURNEY_STEP: rng.choice(["cart", "payment", "confirm"])} if step else {"db.system": "postgresql"}
    attributes = {
        semconv.JOURNEY_NAME: "checkout",
        semconv.JOURNEY_ATTEMPT: f"{rng.randrange(10**5):x}",
        semconv.SEGMENT: "enterprise",
        semconv.CUSTOMER_ID: f"k.{rng.randrange(10**4):022d}",
        "http.route": "/pay",
        **named,
    }
    return {
        "traceId": f"{rng.getrandbits(128):032x}",
        "spanId": f"{rng.getrandbits(64):016x}",
        "name": "POST /pay",
        "kind": 2,
        "startTimeUnixNano": str(end - rng.randrange(10**9)),
        "endTimeUnixNano": str(end),
        "attributes": [pair(key, value) for key, value in attributes.items()],
    }


def pair(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def main() -> None:
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    share = float(sys.argv[2]) if len(sys.argv) > 2 else 0.1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spans.jsonl"
        write(path, spans, share)
        began = time.perf_counter()
        report = replay.run([str(path)], inventory.parse(TEXT))
        took_s = time.perf_counter() - began
        print(f"{spans:,} spans, {share:.0%} steps: {took_s:.1f} s, {len(dump(report)):,} bytes of report")


if __name__ == "__main__":
    main()
