"""Whose baggage is believed, and who is sent it: nobody, unless an operator said so."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import otel_cx
from otel_cx import Settings, semconv, trust
from otel_cx.pseudonym import Keyring
from otel_cx.testing import TEST_KEY, Journeys, recording

CUSTOMER = TEST_KEY.pseudonym("user-42")
MEMBERS = {
    semconv.JOURNEY_NAME: "checkout",
    semconv.JOURNEY_ATTEMPT: "cart-42",
    semconv.SEGMENT: "enterprise",
    semconv.CUSTOMER_ID: CUSTOMER,
}
HEADER = ",".join(f"{name}={value}" for name, value in MEMBERS.items())
EDGE = Settings(keys=TEST_KEY)
INSIDE = Settings(keys=TEST_KEY, trust="all")
SIGNED = Settings(keys=TEST_KEY, trust="signed")


class Lines(Getter[list[str]]):
    """A request with these `baggage` lines."""

    def get(self, carrier: list[str], key: str) -> list[str] | None:
        return carrier if key == "baggage" else None

    def keys(self, carrier: list[str]) -> list[str]:
        return ["baggage"] if carrier else []


def receive(lines: list[str], settings: Settings) -> tuple[dict[str, Any], dict[str, object], dict[str, int]]:
    """Returns (attributes of the server span, baggage of its context, diagnostics) for a request with these lines."""
    with recording(settings) as recorded:
        context = propagate.extract(lines, getter=Lines())
        recorded.provider.get_tracer("server").start_span("server", context=context, kind=SpanKind.SERVER).end()
        return (
            dict(recorded.span("server").attributes or {}),
            dict(baggage.get_all(context)),
            otel_cx.diagnostics(),
        )


def send(
    settings: Settings, kind: SpanKind = SpanKind.CLIENT, **attributes: Any
) -> tuple[dict[str, str], dict[str, int]]:
    """Returns (headers, diagnostics) of a call out of a request whose customer is known."""
    with recording(settings) as recorded:
        tracer = recorded.provider.get_tracer("opentelemetry.instrumentation.httpx")
        carrier: dict[str, str] = {}
        with tracer.start_as_current_span("server", kind=SpanKind.SERVER):
            otel_cx.identify(customer="user-42", segment="enterprise")
            journey = otel_cx.journey("checkout")
            with journey.attempt("cart-42"), journey.step("payment") as step:
                step.revenue(5, "EUR")
                dotted = {name.replace("__", "."): value for name, value in attributes.items()}
                with tracer.start_as_current_span("call", kind=kind, attributes=dotted):
                    propagate.inject(carrier)
        return carrier, otel_cx.diagnostics()


# --- incoming ---------------------------------------------------------------------------------------------------------


def test_an_edge_believes_nobody() -> None:
    attributes, members, counted = receive([HEADER, "userId=alice"], EDGE)
    assert attributes == {}
    assert members == {"userId": "alice"}
    assert counted == {"baggage_untrusted": 1}


def test_inside_everybody_is_believed_and_nothing_stays_where_others_would_send_it_on() -> None:
    attributes, members, counted = receive([HEADER, "userId=alice"], INSIDE)
    assert attributes == MEMBERS
    assert members == {"userId": "alice"}
    assert counted == {}


@pytest.mark.parametrize(
    "smuggled",
    [
        "%6ftelcx.segment=vip",
        "otelcx%2Esegment=vip",
        " otelcx.segment = vip ",
        "\totelcx.segment\t=vip",
        "+otelcx.segment=vip",
        "a=b,,,otelcx.segment=vip",
        "otelcx.segment=vip;ttl=5",
        "otelcx.segment;x=y",
        "otelcx.segment=vip,otelcx.segment=vip",
    ],
)
def test_no_spelling_passes_an_edge(smuggled: str) -> None:
    attributes, members, _ = receive([smuggled], EDGE)
    assert attributes == {}
    assert not [name for name in members if name.startswith("otelcx")]


def test_all_lines_are_read_together() -> None:
    attributes, members, _ = receive(["a=1", "otelcx.segment=trial", "b=2,otelcx.region=eu"], INSIDE)
    assert attributes == {semconv.SEGMENT: "trial", semconv.REGION: "eu"}
    assert members == {"a": "1", "b": "2"}


def test_what_follows_a_semicolon_is_cut_off() -> None:
    attributes, _, _ = receive(["otelcx.segment=trial;otelcx.region=eu;p=1"], INSIDE)
    assert attributes == {semconv.SEGMENT: "trial"}


def test_step_within_and_money_are_never_taken_from_baggage() -> None:
    line = "otelcx.journey.step=pay,otelcx.journey.within=pay,otelcx.revenue.amount=5,otelcx.exact=true,otelcx.x=1"
    attributes, members, _ = receive([line], INSIDE)
    assert attributes == {}
    assert members == {}


def test_percent_encoded_values_are_decoded_before_they_are_checked() -> None:
    attributes, _, _ = receive([f"otelcx.journey.attempt={quote('cart:42', safe='')},otelcx.region=a%0d%0ab"], INSIDE)
    assert attributes == {semconv.JOURNEY_ATTEMPT: "cart:42"}


@pytest.mark.parametrize(
    "member",
    ["otelcx.customer.id=user-42", "otelcx.account.id=alice@example.com", "otelcx.journey.name=Check", "otelcx.plan="],
)
def test_a_member_of_the_wrong_shape_is_left_out_and_counted(member: str) -> None:
    attributes, _, counted = receive([member], INSIDE)
    assert attributes == {}
    assert counted == {"baggage_invalid": 1}


def test_over_the_limit_nothing_is_read_split_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    line = "x" * 100 + "=secret"
    attributes, members, counted = receive([HEADER, *[line] * 80], INSIDE)
    assert (attributes, members, counted) == ({}, {}, {"baggage_oversize": 1})
    assert "secret" not in caplog.text


def test_more_members_or_bytes_of_ours_than_the_limit_are_all_refused() -> None:
    many = ",".join(f"otelcx.x{number}=1" for number in range(20))
    long = ",".join(f"otelcx.x{number}={'v' * 200}" for number in range(12))
    for line in (many, long):
        attributes, _, counted = receive([line, HEADER], INSIDE)
        assert (attributes, counted) == ({}, {"baggage_oversize": 1})


def test_a_signature_over_exactly_these_members_is_believed() -> None:
    signature = TEST_KEY.sign(MEMBERS)
    assert receive([f"{HEADER},otelcx.sig={signature}"], SIGNED)[0] == MEMBERS
    for line in (
        HEADER,
        f"{HEADER},otelcx.sig={signature[:-1]}_",
        f"{HEADER},otelcx.plan=pro,otelcx.sig={signature}",
        f"{HEADER.replace('enterprise', 'trial')},otelcx.sig={signature}",
        f"{HEADER},otelcx.sig={Keyring.parse('test:another-secret-of-16').sign(MEMBERS)}",
        f"{HEADER},otelcx.sig=unknown.{signature.partition('.')[2]}",
        f"{HEADER},otelcx.sig=%F0%9F%92%A9",
    ):
        attributes, _, counted = receive([line], SIGNED)
        assert (attributes, counted) == ({}, {"baggage_signature": 1}), line


def test_a_key_before_the_last_rotation_still_verifies() -> None:
    old, new = "old:0123456789abcdef", "new:fedcba9876543210"
    line = f"{HEADER},otelcx.sig={Keyring.parse(old).sign(MEMBERS)}"
    assert receive([line], Settings(trust="signed", keys=Keyring.parse(f"{new}\n{old}")))[0] == MEMBERS


def test_an_edge_may_take_a_browsers_attempt_and_nothing_else() -> None:
    browser = Settings(keys=TEST_KEY, browser_attempt=True)
    assert receive(["otelcx.journey.attempt=cart-42"], browser)[::2] == ({semconv.JOURNEY_ATTEMPT: "cart-42"}, {})
    attributes, _, counted = receive([HEADER], browser)
    assert attributes == {semconv.JOURNEY_ATTEMPT: "cart-42"}
    assert counted == {"baggage_untrusted": 1}
    assert receive(["otelcx.journey.attempt=%3Cscript%3E"], browser)[::2] == ({}, {"baggage_invalid": 1})


def test_a_browsers_attempt_is_that_of_whichever_journey_is_opened() -> None:
    with recording(Settings(browser_attempt=True)) as recorded:
        context = propagate.extract(["otelcx.journey.attempt=cart-42"], getter=Lines())
        journey = otel_cx.journey("checkout")
        with (
            recorded.provider.get_tracer("server").start_as_current_span("server", context=context),
            journey.step("payment"),
        ):
            pass
        assert recorded.steps()[0].attempt == "cart-42"


def test_an_attempt_that_came_with_a_journey_is_none_of_another() -> None:
    with recording(INSIDE) as recorded:
        context = propagate.extract([HEADER], getter=Lines())
        with (
            recorded.provider.get_tracer("server").start_as_current_span("server", context=context),
            otel_cx.journey("support").step("ticket"),
        ):
            pass
        [ticket] = recorded.steps()
        assert ticket.attempt is None
        assert ticket.attributes[semconv.SEGMENT] == "enterprise"


def test_who_is_found_to_be_another_customer_keeps_nothing_of_the_one_that_was_sent() -> None:
    with recording(INSIDE) as recorded:
        context = propagate.extract([HEADER], getter=Lines())
        tracer = recorded.provider.get_tracer("server")
        with tracer.start_as_current_span("server", context=context):
            otel_cx.identify(customer="user-43")
            with tracer.start_as_current_span("after"):
                pass
        after = dict(recorded.span("after").attributes or {})
        assert after[semconv.CUSTOMER_ID] == TEST_KEY.pseudonym("user-43")
        assert semconv.SEGMENT not in after
        assert after[semconv.JOURNEY_ATTEMPT] == "cart-42"


@given(
    st.lists(
        st.text(alphabet=st.sampled_from(list("otelcx.sgmn=,;% +\t\r\n\0ü6f2E")), max_size=60) | st.text(max_size=40),
        max_size=4,
    )
)
def test_no_header_raises_and_none_gets_past_an_edge(lines: list[str]) -> None:
    attributes, members, _ = receive(lines, EDGE)
    assert attributes == {}
    assert not [name for name in members if name.startswith(semconv.PREFIX)]


# --- outgoing ---------------------------------------------------------------------------------------------------------


def test_by_default_nothing_of_ours_leaves() -> None:
    headers, counted = send(EDGE, url__full="https://api.partner.example/pay")
    assert set(headers) == {"traceparent"}
    assert counted == {"egress_denied": 1}


def test_an_allowed_host_is_sent_the_context_signed_and_never_step_or_money() -> None:
    headers, counted = send(Settings(keys=TEST_KEY, egress_hosts=("billing",)), url__full="http://billing:8080/pay")
    members = dict(member.split("=") for member in headers["baggage"].split(","))
    signature = members.pop(semconv.SIGNATURE)
    assert members == MEMBERS
    assert TEST_KEY.verify(members, signature)
    assert counted == {}


def test_what_one_service_sends_another_believes() -> None:
    headers, _ = send(Settings(keys=TEST_KEY, egress_hosts=("*",)), url__full="http://billing/")
    assert receive([headers["baggage"]], SIGNED)[0] == MEMBERS
    assert receive([headers["baggage"]], INSIDE)[0] == MEMBERS


HOSTS = Settings(egress_hosts=("Billing", "*.internal", "10.0.0.7", "::1"))


@pytest.mark.parametrize(
    "url",
    [
        "http://billing/", "http://BILLING:80/", "http://billing./", "http://a.b.internal/x?y#z", "http://10.0.0.7:1/",
        "http://[::1]:8080/", "http://user:pw@billing/", "https://pay.shop.svc/", "https://pay.shop.svc.cluster.local:1/",
    ],
)  # fmt: skip
def test_a_host_on_the_list_or_in_the_cluster_is_allowed(url: str) -> None:
    assert "baggage" in send(HOSTS, url__full=url)[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/", "http://billing.evil.example/", "http://billing@evil.example/", "http://xbilling/",
        "http://internal/", "http://evil.example/.svc", "http://evil.example#.svc", "http://evil.example?.svc",
        "http://evil.example\\.svc/", "http://svc/", "http://[::1/", "billing", "", "http://", "http://billing%2eevil/",
        "http://evil.example/http://billing/", "http://bill\u0131ng/",
    ],
)  # fmt: skip
def test_any_other_host_is_not(url: str) -> None:
    headers, counted = send(HOSTS, url__full=url)
    assert "baggage" not in headers
    assert counted["egress_denied"] == 1


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"http__url": "http://billing/"}, True),
        ({"server__address": "billing"}, True),
        ({"net__peer__name": "billing"}, True),
        ({"url__full": "http://evil.example/", "server__address": "billing"}, False),
        ({}, False),
    ],
)
def test_old_and_new_names_of_the_address_are_read(attributes: dict[str, str], allowed: bool) -> None:
    assert ("baggage" in send(HOSTS, SpanKind.CLIENT, **attributes)[0]) is allowed


def test_a_messages_destination_decides_for_messages() -> None:
    queues = Settings(egress_destinations=("deployments", "mail-*"))
    for attributes, allowed in (
        ({"messaging__destination__name": "deployments"}, True),
        ({"messaging__destination": "mail-eu"}, True),
        ({"messaging__destination__name": "partner-feed"}, False),
        ({"server__address": "deployments"}, False),
    ):
        assert ("baggage" in send(queues, SpanKind.PRODUCER, **attributes)[0]) is allowed
    assert "baggage" not in send(queues, SpanKind.CLIENT, messaging__destination__name="deployments")[0]


def test_a_client_that_may_follow_redirects_unseen_needs_the_hook() -> None:
    with recording(HOSTS) as recorded, otel_cx.journey("checkout").attempt("a"):
        tracer = recorded.provider.get_tracer("opentelemetry.instrumentation.requests")
        carrier: dict[str, str] = {}
        with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"url.full": "http://billing/"}):
            propagate.inject(carrier)
        assert "baggage" not in carrier


def test_the_address_of_a_server_span_is_our_own_and_allows_nothing() -> None:
    assert "baggage" not in send(HOSTS, SpanKind.SERVER, server__address="billing")[0]


def test_a_hook_decides_where_the_span_does_not_tell() -> None:
    class Request:
        url = "http://billing/pay"

    class Elsewhere:
        url = "http://evil.example/"

    with recording(HOSTS) as recorded, otel_cx.journey("checkout").attempt("a"):
        for request, allowed in ((Request, True), (Elsewhere, False)):
            with recorded.provider.get_tracer("x").start_as_current_span("call") as span:
                trust.egress_hook(span, request)
                carrier: dict[str, str] = {}
                propagate.inject(carrier)
            assert ("baggage" in carrier) is allowed
        trust.egress_hook(trace.INVALID_SPAN, object())
        assert otel_cx.diagnostics()["internal"] == 1


def test_members_of_ours_in_the_applications_baggage_do_not_leave_either() -> None:
    with recording(EDGE) as recorded:
        context = baggage.set_baggage(semconv.SEGMENT, "enterprise")
        context = baggage.set_baggage("userId", "alice", context)
        carrier: dict[str, str] = {}
        with recorded.provider.get_tracer("x").start_as_current_span("call", context=context):
            propagate.inject(carrier, context)
        assert carrier["baggage"] == "userId=alice"


@pytest.mark.parametrize(("before", "after"), [(HEADER, None), (f"userId=alice,{HEADER}", "userId=alice")])
def test_a_header_left_from_the_call_before_is_cleaned(recorded: Journeys, before: str, after: str | None) -> None:
    """A client that follows a redirect copies the headers of the first request."""
    carrier = {"baggage": before}
    with recorded.provider.get_tracer("x").start_as_current_span("call", kind=SpanKind.CLIENT):
        propagate.inject(carrier)
    assert carrier.get("baggage") == after


def test_a_foreign_propagator_put_in_our_place_has_nothing_to_leak() -> None:
    with recording(INSIDE) as recorded:
        context = propagate.extract([HEADER], getter=Lines())
        carrier: dict[str, str] = {}
        with recorded.provider.get_tracer("x").start_as_current_span("server", context=context):
            otel_cx.identify(customer="user-42")
            W3CBaggagePropagator().inject(carrier, otel_context.get_current())
        assert carrier == {}


def test_a_call_that_is_not_sampled_carries_nothing_and_is_no_denial() -> None:
    with recording(HOSTS, sampler=ALWAYS_OFF) as recorded, otel_cx.journey("checkout").attempt("a"):
        carrier: dict[str, str] = {}
        with recorded.provider.get_tracer("x").start_as_current_span("call", kind=SpanKind.CLIENT):
            propagate.inject(carrier)
        assert "baggage" not in carrier
        assert otel_cx.diagnostics() == {}


def test_a_call_with_nothing_to_send_is_no_denial(recorded: Journeys) -> None:
    with recorded.provider.get_tracer("x").start_as_current_span("call", kind=SpanKind.CLIENT):
        propagate.inject({})
    assert otel_cx.diagnostics() == {}
