"""Recordings for tests: OTLP JSON lines, as the OpenTelemetry Collector writes them to files. No expectations."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from otel_cx import semconv

NS = 1_000_000_000
START_S = 1_767_603_600
"""2026-01-05T09:00:00Z."""


@dataclass(frozen=True)
class Step:
    """One step span to be."""

    at_s: float
    """Its end, seconds after START_S."""
    attempt: str
    journey: str = "checkout"
    step: str = "payment"
    outcome: str | None = None
    duration_s: float = 0.1
    customer: str | None = None
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    tracestate: str = ""

    def span(self, number: int) -> dict[str, object]:
        """The span as OTLP JSON."""
        end = START_S * NS + round(self.at_s * NS)
        digest = hashlib.sha256(f"{number}/{self}".encode()).hexdigest()
        found: dict[str, str | int | bool] = {
            semconv.JOURNEY_NAME: self.journey,
            semconv.JOURNEY_STEP: self.step,
            semconv.JOURNEY_ATTEMPT: self.attempt,
            **({semconv.STEP_OUTCOME: self.outcome} if self.outcome else {}),
            **({semconv.CUSTOMER_ID: self.customer} if self.customer else {}),
            **self.attributes,
        }
        return {
            "traceId": digest[:32],
            "spanId": digest[32:48],
            "name": self.step,
            "kind": 1,
            "startTimeUnixNano": str(end - round(self.duration_s * NS)),
            "endTimeUnixNano": str(end),
            **({"traceState": self.tracestate} if self.tracestate else {}),
            "attributes": [_attribute(key, value) for key, value in found.items() if value != ""],
        }


def _attribute(key: str, value: str | int | bool) -> dict[str, object]:
    kind = "boolValue" if isinstance(value, bool) else "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def lines(steps: Iterable[Step], environment: str = "production") -> list[str]:
    """Requests as exporters send them: the spans of one minute together, in the order of ``steps``."""
    numbered = enumerate(steps)
    return [
        request([step.span(number) for number, step in together], environment)
        for _, together in groupby(numbered, key=lambda pair: pair[1].at_s // 60)
    ]


def request(spans: list[dict[str, object]], environment: str = "production", service: str = "shop") -> str:
    """One export request of spans as a line."""
    resource = {"service.name": service, "deployment.environment.name": environment}
    block = {
        "resource": {"attributes": [_attribute(key, value) for key, value in resource.items()]},
        "scopeSpans": [{"scope": {"name": "recording"}, "spans": spans}],
    }
    return json.dumps({"resourceSpans": [block]})


def write(path: Path, steps: Iterable[Step]) -> Path:
    """A recording file of ``steps``."""
    path.write_text("\n".join(lines(steps)) + "\n")
    return path


def minute(number: int, attempts: int, harmed: int = 0, prefix: str = "", **how: object) -> list[Step]:
    """``attempts`` attempts of one step each, evenly over minute ``number``; the first ``harmed`` get ``how``."""
    return [
        Step(
            at_s=number * 60 + i * 60 / attempts,
            attempt=f"{prefix}{number}-{i}",
            **(how if i < harmed else {}),  # type: ignore[arg-type] # keyword arguments of Step
        )
        for i in range(attempts)
    ]
