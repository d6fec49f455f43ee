"""Raw ids never leave the process: a whole scenario, and every byte it emits searched for them in every spelling."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from sdk.receiving import Receiver, otlp_receiver

RAW = ("ada.lovelace+vip@example.org", "Zażółć-4711-Gęślą", "org:acme/0815", "cart of ada.lovelace@example.org")
PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from opentelemetry import propagate, trace
import otel_cx

person, other, org, cart = sys.argv[2:6]
provider = otel_cx.configure(
    sys.argv[1], settings=otel_cx.Settings.from_env(trust="all", egress_destinations=("*",), egress_hosts=("*",))
)
tracer = trace.get_tracer("shop")
checkout = otel_cx.journey("checkout")

def telling(_scope):
    raise LookupError(f"no such customer: {person}")

class Unprintable:
    def __str__(self):
        raise ValueError(person)
    __repr__ = __str__

def whole(environ, start_response):
    start_response("200 OK", [])
    with tracer.start_as_current_span("POST /pay", kind=trace.SpanKind.SERVER):
        otel_cx.identify(customer=other, account=org, segment=person, plan=cart)
        otel_cx.identify(customer=Unprintable(), account=Unprintable())
        with checkout.attempt(cart), checkout.step(person) as step:
            step.revenue(person, other)
            step.fail(person)
            headers = {}
            with tracer.start_as_current_span("send", kind=trace.SpanKind.PRODUCER,
                                              attributes={"messaging.destination.name": "orders"}):
                propagate.inject(headers)
            print(headers)
    return [b"paid"]

for app in (
    otel_cx.wsgi.CXMiddleware(whole, routes={"POST /pay": "checkout/payment"}, identify=telling, attempt=telling),
    otel_cx.wsgi.CXMiddleware(whole, identify=lambda _: {"customer": person, "account": org, "region": person},
                              attempt=lambda _: person),
    otel_cx.wsgi.CXMiddleware(whole, identify=lambda _: {"unknown": person}, attempt=lambda _: Unprintable()),
):
    print(b"".join(app({"REQUEST_METHOD": "POST", "PATH_INFO": "/pay"}, lambda *_: None)))

@checkout.attempt(lambda who: who)
@checkout.step("payment")
def pay(who):
    raise_here = LookupError("declined")
    raise raise_here

try:
    pay(person)
except LookupError:
    pass
for finding in otel_cx.doctor():
    print(finding, repr(finding))
print(otel_cx.diagnostics(), repr(checkout), repr(otel_cx.Settings.from_env()))
provider.shutdown()
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as listening:
        yield listening


def spellings(raw: str) -> set[bytes]:
    encoded = raw.encode()
    found = {
        encoded,
        quote(raw).encode(),
        quote(raw, safe="").encode(),
        encoded.hex().encode(),
        repr(raw)[1:-1].encode(),
    }
    found |= {base64.b64encode(encoded).rstrip(b"="), base64.urlsafe_b64encode(encoded).rstrip(b"=")}
    return found | {raw.lower().encode(), ascii(raw)[1:-1].encode(), raw.encode("utf-16-le")}


def test_nothing_that_is_emitted_holds_a_raw_id_in_any_spelling(receiver: Receiver) -> None:
    environ = {**os.environ, "OTELCX_KEY": "k1:0123456789abcdef"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, receiver.endpoint, *RAW],
        capture_output=True,
        check=False,
        timeout=60,
        env=environ,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"b'paid'") == 3
    emitted = b"\n".join((done.stdout, done.stderr, *receiver.wire))
    assert b"otelcx.customer.id" in emitted, "the pseudonym is there"
    assert b"LookupError at" in done.stderr, "what a callback raised is named by class and place"
    assert b"0123456789abcdef" not in emitted
    for raw in RAW:
        for spelling in spellings(raw):
            assert spelling not in emitted, (raw, spelling)
