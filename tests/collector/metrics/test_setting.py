"""The setting that metrics are pushed by."""

import pytest

from otel_cx_collector.config import Settings, parse
from otel_cx_collector.errors import UserError


def test_nothing_is_pushed_unless_a_setting_says_where() -> None:
    assert Settings().telemetry_otlp == ""
    assert Settings().telemetry_every_s == 60


def test_where_and_how_often_is_read() -> None:
    settings = parse("telemetry: {otlp: 'http://otel:4318', every: 15s}", "collector.yaml", {})

    assert (settings.telemetry_otlp, settings.telemetry_every_s) == ("http://otel:4318", 15)


@pytest.mark.parametrize("where", ["otel:4318", "ftp://otel", "http://", "http://otel:4318/?token=x"])
def test_what_is_no_receiver_is_refused_with_how_to_write_one(where: str) -> None:
    with pytest.raises(UserError, match=r"collector\.yaml:1: otlp: .* write its base URL: http://host:4318"):
        parse(f"telemetry: {{otlp: '{where}'}}", "collector.yaml", {})
