"""The example platform as its users meet it: real processes, real traffic, and what its spans show."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hosting.platform_run import Run, alive, failed, platform, steps
from hosting.sink import Seen, Sink
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from examples.hosting import people
from examples.hosting.faults import FAULTS, REREAD_S, Faults
from examples.hosting.history import attempts
from examples.hosting.history.spans import SHAPES, Encoder, Known
from examples.hosting.run import SERVICES
from examples.hosting.services.billing.database import METRIC, POOL
from otel_cx.pseudonym import Keyring
from otel_cx_collector.notify import webhook
from otel_cx_collector.notify.words import Notice, Parcel

TERMINAL = {
    ("checkout", "confirm"),
    ("login", "session"),
    ("signup", "verify"),
    ("dns-change", "publish"),
    ("deployment", "progress"),
}
ID = re.compile(rb"cust-\d|acct-\d|org-\d|@example")


@dataclass(slots=True)
class Story:
    """What a platform went through: an ordinary while, then every fault at once, then the end."""

    run: Run
    ordinary: list[Seen]
    broken: list[Seen]
    pages: dict[str, httpx.Response]
    full: list[int]
    paged: list[httpx.Response]
    code: int
    left: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("platform")
    with platform(home, "--seed", "7", "--rate", "3") as run:
        ordinary = run.until(not_lived_yet)
        pages = fault_pages(run)
        faults = Faults(home)
        for name in FAULTS:
            faults.switch(name)
        broken = run.until(not_broken_yet)[len(ordinary) :]
        paged = [page_it(run)]
        faults.off("silent-pager")
        time.sleep(2 * REREAD_S)
        paged += [page_it(run), httpx.post(f"{run.pager}oncall", content=b"{}"), httpx.get(run.pager)]
        full = run.sink.levels.of(METRIC, "used")
        yield Story(run, ordinary, broken, pages, full, paged, run.stop(), alive(home))


def page_it(run: Run) -> httpx.Response:
    """Send the pager what the collector would."""
    notice = Notice(
        id=1, key="checkout-1:1", channel="oncall", incident="checkout-1", sequence=1, what="opened", severity="P1",
        at_s=int(time.time()), group=None, body={"journey_title": "Checkout", "reach": {"affected": 7, "active": 9}},
    )  # fmt: skip
    body, now_s = webhook.body_of(Parcel((notice,), 0)), int(time.time())
    signature = webhook.signature((run.home / "pager.secret").read_text().strip(), now_s, body)
    headers = {"OtelCX-Signature": signature, "OtelCX-Delivery": notice.key}
    return httpx.post(f"{run.pager}oncall", content=body, headers=headers)


def not_lived_yet(spans: list[Seen]) -> list[str]:
    steps_seen = {seen.step for seen in spans}
    tickets = any(seen.span.name == "POST /tickets" for seen in spans)
    return [*("/".join(step) for step in TERMINAL if step not in steps_seen), *([] if tickets else ["tickets"])]


def not_broken_yet(spans: list[Seen]) -> list[str]:
    seen = {
        "payment-errors": len(failed(spans, "checkout", "payment", "GatewayUnavailableError")) >= 5,
        "slow-checkout": sum(seen.seconds > 4 for seen in steps(spans, "checkout", "payment")) >= 3,
        "login-region": len(failed(spans, "login", "credentials", "UnavailableError")) >= 3,
        "saturated-pool": any(failed(spans, "checkout", step, "TimeoutError") for step in ("cart", "payment")),
        "stuck-queue": any(failed(spans, "deployment", "progress", "visitor_left")),
        "bad-deploy": any(failed(spans, "dns-change", "publish", "UnavailableError")),
    }
    return [name for name, yes in seen.items() if not yes]


def fault_pages(run: Run) -> dict[str, httpx.Response]:
    """What the platform's own page answers."""
    faults, form = f"{run.panel}/faults", {"fault": "slow-checkout", "state": "on", "share": "0.25"}
    return {
        "shown": httpx.get(faults),
        "elsewhere": httpx.post(faults, data=form, headers={"origin": "http://evil.example"}),
        "unknown": httpx.post(faults, data={**form, "fault": "tornado"}),
        "too much": httpx.post(faults, data={**form, "share": "7"}),
        "switched": httpx.post(faults, data=form, headers={"origin": run.panel}),
        "on": httpx.get(faults),
        "mended": httpx.post(faults, data={"fault": "all", "state": "off"}),
        "off": httpx.get(faults),
    }


def test_every_step_comes_with_its_attempt_and_customer(story: Story) -> None:
    tagged = [seen for seen in story.ordinary if seen.step]
    assert {seen.step for seen in tagged} == {step for step in SHAPES if step[0] != "support"}
    for seen in tagged:
        assert re.fullmatch(r"[0-9a-f]{16}", str(seen.attributes["otelcx.journey.attempt"]))
        assert seen.attributes["otelcx.device.class"] in people.DEVICES
        anonymous = SHAPES[seen.step or ("", "")].knows is Known.DEVICE
        assert anonymous or str(seen.attributes["otelcx.customer.id"]).startswith("demo.")


def test_a_deployment_ends_in_the_worker_as_the_attempt_it_began_as(story: Story) -> None:
    began = {who(seen) for seen in steps(story.run.sink.spans(), "deployment", "submit")}
    for step in ("build", "go-live"):
        ended = steps(story.ordinary, "deployment", step)
        assert ended
        assert {seen.resource["service.name"] for seen in ended} == {"worker"}
        assert {who(seen) for seen in ended} <= began


def test_a_checkout_is_one_attempt_over_two_services_and_three_traces(story: Story) -> None:
    attempt = steps(story.ordinary, "checkout", "confirm")[0].attributes["otelcx.journey.attempt"]
    spans = [seen for seen in story.run.sink.spans() if seen.attributes.get("otelcx.journey.attempt") == attempt]
    assert {seen.resource["service.name"] for seen in spans} == {"control-panel", "billing"}
    assert len({seen.span.trace_id for seen in spans if seen.step}) >= 3
    assert len({seen.attributes.get("otelcx.customer.id") for seen in spans}) == 1


def test_spans_below_a_step_say_which_step_they_serve(story: Story) -> None:
    queries = [
        seen for seen in story.ordinary if seen.attributes.get("db.system") or "db.system.name" in seen.attributes
    ]
    within = {str(seen.attributes["otelcx.journey.within"]) for seen in queries}
    assert within == {"cart", "payment", "confirm", "account"}


def test_a_confirmed_order_carries_its_money(story: Story) -> None:
    for seen in steps(story.ordinary, "checkout", "confirm"):
        if seen.span.status.code == seen.span.status.STATUS_CODE_UNSET:
            assert seen.attributes["otelcx.revenue.amount"] in {"9.00", "29.00", "249.00"}
            assert seen.attributes["otelcx.revenue.currency"] == "EUR"


def test_the_help_desk_knows_nothing_of_journeys(story: Story) -> None:
    tickets = [seen for seen in story.ordinary if seen.resource["service.name"] == "helpdesk"]
    assert {seen.attributes["http.route"] for seen in tickets} == {"/tickets/new", "/tickets"}
    for seen in tickets:
        assert not [name for name in seen.attributes if name.startswith("otelcx.")]
        assert re.fullmatch(r"[0-9a-f]{16}", str(seen.attributes["session.id"]))
        assert seen.attributes["tenant.tier"] in people.SEGMENTS


def test_the_gateway_is_part_of_the_payment_trace(story: Story) -> None:
    payments = {seen.span.trace_id for seen in steps(story.run.sink.spans(), "checkout", "payment")}
    charges = [seen for seen in story.ordinary if seen.resource["service.name"] == "payment-gateway"]
    assert charges
    assert {seen.span.trace_id for seen in charges} <= payments


def test_everything_is_marked_as_live(story: Story) -> None:
    assert {seen.resource["hosting.origin"] for seen in story.ordinary} == {"live"}


def test_no_raw_customer_id_is_in_any_span(story: Story) -> None:
    sent = b"".join(request.SerializeToString() for request in story.run.sink.requests)
    assert [sent[found.start() - 300 : found.end() + 100] for found in ID.finditer(sent)] == []


def test_made_history_carries_the_same_attributes_as_live_spans(story: Story) -> None:
    made = made_spans(Keyring.parse("demo:0123456789abcdef"))
    for step in {seen.step for seen in story.ordinary if seen.step}:
        live = next(seen for seen in story.ordinary if seen.step == step and plain(seen))
        past = next(seen for seen in made if seen.step == step and plain(seen))
        assert ours(past) == ours(live), step
        assert past.span.kind == live.span.kind
        assert past.span.name == live.span.name


def test_payment_errors_hurt_the_chosen_customers_and_nobody_else(story: Story) -> None:
    keys = Keyring.parse((story.run.home / "otelcx.key").read_text())
    chosen = Faults(story.run.home)
    everybody = [people.customer(number).id for number in range(people.CUSTOMERS)]
    hit = {keys.pseudonym(customer) for customer in everybody if chosen.hits("payment-errors", customer)}
    errors = failed(story.broken, "checkout", "payment", "GatewayUnavailableError")
    charged = [seen for seen in steps(story.broken, "checkout", "payment") if "error.type" not in seen.attributes]
    assert sum(seen.attributes["otelcx.customer.id"] in hit for seen in errors) >= len(errors) - 2
    assert charged


def test_only_the_broken_region_cannot_log_in(story: Story) -> None:
    errors = failed(story.broken, "login", "credentials", "UnavailableError")
    elsewhere = [seen for seen in errors if seen.attributes["otelcx.region"] != "eu"]
    assert len(elsewhere) <= 1
    assert len(errors) >= 3


def test_a_bad_deploy_is_a_new_version_that_fails(story: Story) -> None:
    panel = [seen for seen in story.run.sink.spans() if seen.resource["service.name"] == "control-panel"]
    assert {seen.resource["service.version"] for seen in panel} == {"2.3.1", "2.4.0"}
    errors = failed(story.broken, "dns-change", "publish", "UnavailableError")
    assert "2.4.0" in {seen.resource["service.version"] for seen in errors}


def test_a_deploy_is_told_as_it_is_done(story: Story) -> None:
    deploys = [fact for fact in story.run.sink.facts.lines if fact["kind"] == "deploy"]
    assert [(fact["service"], fact["version"]) for fact in deploys] == [("control-panel", "2.4.0")]


def test_contracts_that_are_due_are_those_of_accounts_in_the_traffic(story: Story) -> None:
    keys = Keyring.parse((story.run.home / "otelcx.key").read_text())
    renewals = [fact for fact in story.run.sink.facts.lines if fact["kind"] == "renewal"]
    numbers = [people.customer(number) for number in range(people.CUSTOMERS)]
    accounts = {who.account: keys.pseudonym(who.account) for who in numbers if who.segment == "enterprise"}
    assert {fact["account"] for fact in renewals} <= accounts.keys()
    assert len(renewals) == len({fact["id"] for fact in renewals}) == 8
    seen = {seen.attributes.get("otelcx.account.id") for seen in story.ordinary if seen.step}
    assert seen & set(accounts.values())


def test_billing_says_how_full_its_pool_is(story: Story) -> None:
    idle = story.run.sink.levels.of(METRIC, "idle")
    assert min(story.full) < 0.2 * POOL, "nothing was wrong at first"
    assert max(story.full) > 0.8 * POOL
    assert all(used + free == POOL for used, free in zip(story.full, idle, strict=False))


def test_the_pager_takes_what_is_signed_unless_it_is_silent(story: Story) -> None:
    silent, taken, unsigned, page = story.paged
    assert [silent.status_code, taken.status_code, unsigned.status_code] == [503, 204, 401]
    assert "P1 opened" in page.text
    assert "1 tries were answered 503" in page.text
    lines = [json.loads(line) for line in (story.run.home / "pager.jsonl").read_text().splitlines()]
    assert [(line["status"], line["delivery"]) for line in lines] == [(503, "checkout-1:1"), (204, "checkout-1:1")]
    assert lines[1]["notices"][0]["affected"] == 7


def test_the_page_shows_and_switches_faults(story: Story) -> None:
    pages = story.pages
    assert pages["shown"].status_code == 200
    assert all(name in pages["shown"].text for name in FAULTS)
    assert pages["switched"].status_code == 303
    assert "slow-checkout: on" in pages["on"].text
    assert "slow-checkout: off" in pages["off"].text


def test_the_page_refuses_other_sites_and_unknown_faults(story: Story) -> None:
    pages = story.pages
    assert pages["elsewhere"].status_code == 403
    assert pages["unknown"].status_code == 400
    assert pages["too much"].status_code == 400


def test_a_clean_stop_leaves_no_process(story: Story) -> None:
    assert story.code == 0
    assert story.left == []


def test_a_killed_supervisor_takes_its_platform_along(tmp_path: Path) -> None:
    with platform(tmp_path) as run:
        assert len(alive(tmp_path)) >= len(SERVICES) + 1  # the customers too, and what a service runs for a moment
        run.process.kill()
        run.process.wait()
        give_up = time.monotonic() + 30
        while alive(tmp_path) and time.monotonic() < give_up:
            time.sleep(0.2)
        assert alive(tmp_path) == []


def who(seen: Seen) -> tuple[object, object]:
    return seen.attributes["otelcx.journey.attempt"], seen.attributes["otelcx.customer.id"]


def plain(seen: Seen) -> bool:
    return seen.span.status.code == seen.span.status.STATUS_CODE_UNSET and "error.type" not in seen.attributes


def ours(seen: Seen) -> set[str]:
    return {name for name in seen.attributes if name.startswith("otelcx.")}


def made_spans(keys: Keyring) -> list[Seen]:
    minutes = [attempts.minute(journey, 1_767_600_000, 1_767_600_000, 1.0) for journey in {name for name, _ in SHAPES}]
    executions = [execution for minute in minutes for attempt in minute for execution in attempt]
    sink = Sink()
    try:
        sink.requests = [ExportTraceServiceRequest.FromString(one) for one in Encoder(keys).requests(executions)]
        return sink.spans()
    finally:
        sink.close()
