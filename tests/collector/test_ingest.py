"""What the sink of the receivers counts, and the limit of what it remembers. Real log, real decode."""

from pathlib import Path

import pytest
from recordings import Step, request

from otel_cx_collector import ingest, inventory
from otel_cx_collector.clock import now_ns
from otel_cx_collector.config import LogLimits, Settings
from otel_cx_collector.errors import UserError
from otel_cx_collector.log import Log
from otel_cx_collector.receive import Encoding, Signal

FILE = "journeys: {checkout: {steps: [payment]}}"


def body(service: str, now: int) -> bytes:
    span = Step(0, "a", attributes={"otelcx.segment": "unheard-of"}).span(1)
    span |= {"startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now)}
    return request([span], service=service).encode()


def test_services_whose_values_became_other_are_remembered_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "CULPRITS_MAX", 3)
    with Log(tmp_path / "log", LogLimits(min_free_bytes=0)) as rows:
        sink = ingest.Ingest(inventory.parse(FILE), Settings(), rows, now_ns)
        for number in (0, 1, 2, 3, 4, 0):
            sink.accept(Signal.TRACES, Encoding.JSON, body(f"service-{number}", now_ns()), lambda: None)
        assert rows.last == 6
    counted = dict(sink._tally.overflow)
    assert counted == {("otelcx.segment", f"service-{number}"): 1 + (number == 0) for number in range(3)}


def test_hashed_ids_without_a_key_are_refused_at_the_start_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    file = inventory.parse(FILE + "\nidentify: {customer: {attribute: enduser.id, hash: true}}")
    monkeypatch.delenv(ingest.KEY_FILE, raising=False)
    with pytest.raises(UserError, match=r"identify\.customer .* set OTELCX_KEY_FILE"):
        ingest.hash_keys(file)


def test_the_key_file_that_the_sdk_reads_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("k1:a secret of more than sixteen\n")
    monkeypatch.setenv(ingest.KEY_FILE, str(tmp_path / "key"))
    keys = ingest.hash_keys(inventory.parse(FILE))
    assert keys is not None
    assert keys.key_id == "k1"
    monkeypatch.setenv(ingest.KEY_FILE, str(tmp_path / "nope"))
    with pytest.raises(UserError, match="nope cannot be read"):
        ingest.hash_keys(inventory.parse(FILE))
