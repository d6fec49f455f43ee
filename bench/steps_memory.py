"""Memory over a million steps: requests of a known customer, each an attempt with a step and two child spans.

    .venv/bin/python bench/steps_memory.py

Spans end in a provider without an exporter, so that what grows is ours or the SDK's. Not a measure of speed.
"""

import argparse
import gc
import tracemalloc
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Tracer

import otel_cx
from otel_cx import Settings
from otel_cx.testing import TEST_KEY

POINTS = 10
TRACED = 50_000
checkout = otel_cx.journey("checkout", revenue_class="new")


@checkout.step("payment")
def pay(tracer: Tracer) -> None:
    for query in ("SELECT", "INSERT"):
        tracer.start_span(query).end()


def requests(tracer: Tracer, first: int, count: int) -> None:
    for number in range(first, first + count):
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER):
            otel_cx.identify(customer=f"user-{number}", segment="enterprise")
            with checkout.attempt(f"cart-{number}"):
                pay(tracer)


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    steps = parser.parse_args().steps
    provider = TracerProvider(shutdown_on_exit=False)
    otel_cx.install(provider, Settings(keys=TEST_KEY))
    tracer = provider.get_tracer("shop")
    each = steps // POINTS
    for point in range(POINTS):
        requests(tracer, point * each, each)
        print(f"{(point + 1) * each:>9,} steps: {resident_kib() / 1024:.2f} MiB resident")
    tracemalloc.start()
    requests(tracer, steps, TRACED)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    requests(tracer, steps + TRACED, TRACED)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    print(f"traced by tracemalloc over {TRACED:,} more steps: {grown:+,} bytes, {grown / TRACED:+.4f} a step")


if __name__ == "__main__":
    main()
