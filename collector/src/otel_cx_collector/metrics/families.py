"""Every metric by name, type, unit, labels and meaning: the one list that is served and documented. Holds no values."""

from typing import Final, Literal, NamedTuple

PREFIX: Final = "otelcx_collector_"

Kind = Literal["counter", "gauge"]
Unit = Literal["", "bytes", "seconds"]


class Family(NamedTuple):
    """One metric. Named as Prometheus has it, without the ``_total`` of counters."""

    name: str
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    meaning: str


def _counter(name: str, meaning: str, *labels: str, unit: Unit = "") -> Family:
    return Family(PREFIX + name, "counter", unit, labels, meaning)


def _gauge(name: str, meaning: str, *labels: str, unit: Unit = "") -> Family:
    return Family(PREFIX + name, "gauge", unit, labels, meaning)


BUILD: Final = _gauge("build_info", "1, labelled with the version that runs", "version")
READY: Final = _gauge("ready", "1 when /ready says so, else 0")
UNREADABLE: Final = _gauge("metrics_unreadable", "1 when this part could not be read for this scrape", "part")

REQUESTS: Final = _counter(
    "requests", "Requests answered; status is the HTTP status or the gRPC code", "transport", "signal", "status"
)
REQUESTS_REFUSED: Final = _counter("requests_refused", "Whole requests refused", "transport", "reason")
REQUESTS_ABANDONED: Final = _counter("requests_abandoned", "Requests whose client went away", "transport")
WIRE_BYTES: Final = _counter("received_wire_bytes", "Bodies as they travelled", "transport", unit="bytes")
BODY_BYTES: Final = _counter("received_body_bytes", "Bodies decompressed", "transport", unit="bytes")
IN_FLIGHT: Final = _gauge("in_flight_bytes", "Bodies held at this moment", unit="bytes")
IN_FLIGHT_LIMIT: Final = _gauge("in_flight_limit_bytes", "Above it requests are refused retryably", unit="bytes")
IN_FLIGHT_CLIENTS: Final = _gauge("in_flight_clients", "Clients that have bodies in flight")

SPANS: Final = _counter("spans_received", "Spans received, whatever became of them")
STEPS: Final = _counter("steps_accepted", "Spans taken as step executions and made durable")
SYNTHETIC: Final = _counter("steps_synthetic", "Of these, steps of synthetic traffic")
SPANS_REFUSED: Final = _counter("spans_refused", "Spans that would have been steps", "reason")
LATE: Final = _counter("late_refused", "Spans and points refused because they came too late", "signal")
POINTS: Final = _counter("metric_points_received", "Data points of metrics received")
SIGNAL_POINTS: Final = _counter("signal_points_accepted", "Of these, levels that saturation asks for")
POINTS_REFUSED: Final = _counter("metric_points_refused", "Points asked for that say nothing", "reason")
LOG_RECORDS: Final = _counter("log_records_received", "Log records received; nothing is made of them")
FACTS: Final = _counter("facts_accepted", "Facts taken")
FACTS_REFUSED: Final = _counter("facts_refused", "Lines that are no fact")
OVERFLOW: Final = _counter(
    "cardinality_overflow", 'Values outside of their dimension\'s set, counted as "other"', "attribute", "service"
)

LOG_USED: Final = _gauge("log_used_bytes", "Bytes of the log on disk", unit="bytes")
LOG_LIMIT: Final = _gauge("log_limit_bytes", "When it holds this much, requests are refused retryably", unit="bytes")
LOG_WAITING: Final = _gauge("log_waiting_batches", "Durable batches that the store does not have yet")
DURABLE_LAG: Final = _gauge(
    "durable_lag_seconds", "How long the request that waits longest for the disk has waited", unit="seconds"
)

FLUSH_LAG: Final = _gauge(
    "flush_lag_seconds", "How long the oldest batch that the store does not have has waited", unit="seconds"
)
STORE_UP: Final = _gauge("store_up", "0 while inserts into the store fail, else 1")
STORE_ROWS: Final = _counter("store_rows", "Rows the store took")
STORE_BLOCKS: Final = _counter("store_blocks", "Inserts the store took")
STORE_ERRORS: Final = _counter("store_errors", "Inserts that failed; each is tried again")

ROUNDS: Final = _counter("rounds", "Evaluation rounds that ended well")
ROUND_SECONDS: Final = _gauge("round_seconds", "Time the last round took", unit="seconds")
ROUND_FAILING: Final = _gauge("round_failing", "1 when the last round failed, else 0")
WATERMARK: Final = _gauge(
    "watermark_timestamp_seconds", "The last slice boundary judged, seconds since the epoch", unit="seconds"
)
WATERMARK_LAG: Final = _gauge("watermark_lag_seconds", "How far the clock is ahead of it", unit="seconds")
SETTLE: Final = _gauge("settle_seconds", "How long a boundary waits for stragglers", unit="seconds")
LATENESS: Final = _gauge(
    "control_late_seconds", "Time since the next boundary was due; 0 when it is not", unit="seconds"
)
JOURNEY_ROWS: Final = _gauge("journey_rows", "Rows in memory", "journey")
JOURNEY_SCORE: Final = _gauge("journey_score", "Live impact score, 0 to 100", "journey")
JOURNEY_EPISODES: Final = _gauge("journey_episodes_open", "1 while an episode of harm is open, else 0", "journey")
INCIDENTS: Final = _gauge("incidents_open", "Incidents that are not resolved", "severity")

UNDELIVERED: Final = _gauge("notices_undelivered", "Notices neither delivered nor given up")
NOTICES: Final = _counter(
    "notices", "Notices delivered and refused (given up), and tries that failed", "channel", "state"
)
CHANNEL_UP: Final = _gauge("channel_up", "0 when the channel's last try failed, else 1", "channel")

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
"""All of them, in the order they are served."""
