"""Facts line by line: what each kind says, and that a bad line costs its neighbours nothing."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spans import KEYS, NOW

from otel_cx_collector import inventory
from otel_cx_collector.decode import FactLimits, TooLarge
from otel_cx_collector.decode.facts import FactRules, RefusedLine, decode_facts
from otel_cx_collector.events import NS, Fact, FactKind
from otel_cx_collector.inventory.quantities import format_time
from otel_cx_collector.tag import HashKeys, Tagger

FILE = "journeys: {checkout: {steps: [payment]}, login: {steps: [form]}}\n"
DAY_NS = 86_400 * NS
PSEUDONYM = "k9.0123456789_-ABCDEFGHIJ"


def rules(text: str = FILE, keys: HashKeys | None = KEYS, limits: FactLimits | None = None) -> FactRules:
    read = inventory.parse(text)
    return FactRules(frozenset(read.journeys), Tagger(read, keys).account_of_fact, limits or FactLimits())


RULES = rules()
DEPLOY = {"id": "d-1", "at": "2026-01-05T08:59:00Z", "kind": "deploy", "service": "shop"}
FLAG = {"id": "f-1", "at": "2026-01-05T08:59:00Z", "kind": "flag", "key": "new-checkout", "variant": "on"}
WINDOW = {
    "id": "m-1", "at": "2026-01-05T09:00:00Z", "kind": "maintenance", "journey": "checkout",
    "until": "2026-01-05T10:00:00+00:30",
}  # fmt: skip
RENEWAL = {"id": "r-1", "at": "2026-01-05T08:59:00Z", "kind": "renewal", "account": PSEUDONYM, "due": "2026-02-01"}
AT_NS = NOW - 60 * NS


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in documents)


def read(*documents: Any, by: FactRules = RULES) -> list[Fact]:
    facts, refused = decode_facts(lines(*documents), by, NOW)
    assert refused == []
    return facts


def why(document: Any, by: FactRules = RULES) -> str:
    """Why a line is refused, while its neighbours are taken."""
    facts, refused = decode_facts(lines(DEPLOY, document, FLAG), by, NOW)
    assert [fact.id for fact in facts] == ["d-1", "f-1"]
    ((line, _, reason),) = refused
    assert line == 2
    return reason


def test_each_kind_is_read_with_its_fields() -> None:
    more = {"version": "1.8.2", "link": "https://ci.example/7"}
    renewal = {**RENEWAL, "arr": "48000.50", "name": "Ärger & Söhne"}
    assert read({**DEPLOY, **more}, FLAG, WINDOW, renewal) == [
        Fact("d-1", AT_NS, FactKind.DEPLOY, service="shop", version="1.8.2", link="https://ci.example/7"),
        Fact("f-1", AT_NS, FactKind.FLAG, key="new-checkout", variant="on"),
        Fact("m-1", NOW, FactKind.MAINTENANCE, journey="checkout", until_ns=NOW + 1800 * NS),
        Fact("r-1", AT_NS, FactKind.RENEWAL, account=PSEUDONYM, due="2026-02-01", arr="48000.50", name="Ärger & Söhne"),
    ]


def test_a_field_that_is_null_is_absent_and_a_whole_amount_may_be_a_number() -> None:
    assert read({**DEPLOY, "version": None})[0].version == ""
    assert read({**RENEWAL, "arr": 48000})[0].arr == "48000"


def test_blank_lines_carriage_returns_a_byte_order_mark_and_no_last_newline_are_taken() -> None:
    body = b"\xef\xbb\xbf" + lines(DEPLOY).replace(b"\n", b"\r\n") + b"\n  \n" + lines(FLAG).strip()
    facts, refused = decode_facts(body, RULES, NOW)
    assert ([fact.id for fact in facts], refused) == (["d-1", "f-1"], [])


def test_a_raw_account_is_hashed_as_spans_are_and_a_pseudonym_is_taken_as_it_is() -> None:
    assert read({**RENEWAL, "account": "acme"})[0].account == KEYS.pseudonym("acme")
    assert read(RENEWAL)[0].account == PSEUDONYM


def test_an_account_that_the_inventory_takes_plain_from_spans_is_taken_plain() -> None:
    plain = rules(FILE + "identify: {account: {attribute: tenant.pseudo, hash: false}}")
    assert read({**RENEWAL, "account": "t-1"}, by=plain)[0].account == "t-1"
    assert read({**RENEWAL, "account": "Acme GmbH"}, by=plain)[0].account == KEYS.pseudonym("Acme GmbH")
    hashed = rules(FILE + "identify: {account: {attribute: tenant.id}}")
    assert read({**RENEWAL, "account": "t-1"}, by=hashed)[0].account == KEYS.pseudonym("t-1")


def test_a_raw_account_without_a_key_is_refused_with_the_cure_and_never_shown() -> None:
    reason = why({**RENEWAL, "account": "acme@example.org"}, rules(keys=None))
    assert "no key to hash it with; start it with OTELCX_KEY_FILE" in reason
    assert "acme" not in reason
    assert "acme" not in why({**RENEWAL, "account": ["acme"]}, rules(keys=None))
    assert read(RENEWAL, by=rules(keys=None))[0].account == PSEUDONYM


@pytest.mark.parametrize("kind", ["order", "ticket", "cancellation"])
def test_kinds_that_are_not_evaluated_are_refused_by_name(kind: str) -> None:
    reason = why({"id": "x", "at": DEPLOY["at"], "kind": kind, "customer": "c"})
    assert reason == f'kind "{kind}" is not evaluated by this version; leave such facts out until a later one does'


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({**DEPLOY, "kind": "deployment"}, r'kind "deployment" is not known; did you mean deploy\?'),
        ({**DEPLOY, "kind": ["deploy"]}, "kind a list is not known; "),
        ({"id": "x", "at": DEPLOY["at"]}, "there is no kind; known here"),
        ({**DEPLOY, "verison": "1"}, r'a deploy has no field "verison"; did you mean version\?'),
        ({**FLAG, "service": "shop"}, 'a flag has no field "service"'),
        ({"id": "x", "at": DEPLOY["at"], "kind": "deploy"}, "there is no service; a deploy needs id, at,"),
        ({**DEPLOY, "id": None}, "there is no id"),
        ({**DEPLOY, "id": ""}, 'id "" cannot be taken; write 1 to 256 printable characters'),
        ({**DEPLOY, "id": 7}, "id 7 cannot be taken"),
        ({**DEPLOY, "id": "a\nb"}, "id .* cannot be taken"),
        ({**DEPLOY, "service": "s" * 257}, "service .* cannot be taken; write 1 to 256"),
        ({**DEPLOY, "at": "yesterday"}, 'at "yesterday" is not a time; write it like 2026-01-05T02:00:00Z'),
        ({**DEPLOY, "at": "2026-01-05T08:59:00"}, "at .* has no time zone"),
        ({**DEPLOY, "at": 1767603600}, "at 1767603600 is not a time"),
        ({**DEPLOY, "link": "javascript:alert(1)"}, "link .* is no link; write an address that begins with https://"),
        ({**DEPLOY, "link": "https://" + "x" * 1000}, "link .* write 1 to 1000 printable characters"),
        ({**WINDOW, "journey": "chekout"}, r'journey "chekout" is not in the inventory; did you mean checkout\?'),
        ({**WINDOW, "until": WINDOW["at"]}, "until is not after at"),
        ({**RENEWAL, "due": "2026-02-30"}, 'due "2026-02-30" is no date; write it like 2026-02-01'),
        ({**RENEWAL, "due": "20260201"}, "is no date"),
        ({**RENEWAL, "due": "0026-02-01"}, "is no date"),
        ({**RENEWAL, "arr": 4.8e4}, "arr 48000.0 is no amount; write a decimal number as text"),
        ({**RENEWAL, "arr": "-1"}, "is no amount"),
        ({**RENEWAL, "arr": True}, "arr true is no amount"),
        ({**RENEWAL, "account": "a" * 257}, "account is no text of 1 to 256 characters"),
        ([DEPLOY], "the line is a list; write one JSON object a line"),
        ("deploy", 'the line is "deploy"; write one JSON object a line'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_value_and_the_cure(document: Any, reason: str) -> None:
    assert re.search(reason, why(document))


@pytest.mark.parametrize(
    "line", [b"{", b'{"id": NaN}', b"\xff\xfe", b'{"id": "\xc3"}', b'{"id": "\\ud800"}', b"[" * 10_000, b"\0", b"{}"]
)
def test_a_line_that_is_no_json_is_refused_alone(line: bytes) -> None:
    facts, refused = decode_facts(lines(DEPLOY) + line + b"\n" + lines(FLAG), RULES, NOW)
    assert [fact.id for fact in facts] == ["d-1", "f-1"]
    assert [each.line for each in refused] == [2]


def test_a_refused_line_tells_its_id_as_far_as_it_could_be_read() -> None:
    _, refused = decode_facts(lines({"id": "x" * 100, "kind": "?"}, {"id": 7}, 7) + b"{", RULES, NOW)
    assert [each.id for each in refused] == ["x" * 57 + "...", "", "", ""]


def moved(document: dict[str, str], seconds: int) -> dict[str, str]:
    return document | {"at": format_time(NOW + seconds * NS)}


@pytest.mark.parametrize("document", [DEPLOY, FLAG, RENEWAL])
def test_a_fact_is_at_most_400_days_old_and_5_minutes_ahead(document: dict[str, str]) -> None:
    age_s = 400 * 86_400
    assert len(read(moved(document, -age_s), moved(document, 300))) == 2
    assert why(moved(document, -age_s - 1)) == "at is more than 400d ago; nothing is kept for longer"
    assert "more than 5m ahead; send what has happened, and check the clock" in why(moved(document, 301))


def test_a_maintenance_is_planned_at_most_400_days_ahead() -> None:
    ahead = format_time(NOW + 400 * DAY_NS)
    assert read({**WINDOW, "at": "2026-03-01T00:00:00Z", "until": ahead})[0].until_ns == NOW + 400 * DAY_NS
    assert "more than 400d ahead" in why({**WINDOW, "until": format_time(NOW + 401 * DAY_NS)})


def test_recorded_facts_are_of_any_time_that_can_be_stored() -> None:
    facts, refused = decode_facts(
        lines(DEPLOY | {"at": "2000-01-01T00:00:00Z"}, DEPLOY | {"at": "2150-01-01T00:00:00Z"}), RULES, None
    )
    assert len(facts) == 1
    assert refused == [RefusedLine(2, "d-1", "the time is after the year 2105; send a nearer one")]


def test_a_line_over_its_limit_is_refused_alone() -> None:
    small = rules(limits=FactLimits(line_bytes=200))
    assert why({**DEPLOY, "version": "v" * 200}, small) == "the line has 295 bytes; write at most 200"


def test_more_lines_than_the_limit_refuse_the_request() -> None:
    small = rules(limits=FactLimits(lines=3))
    assert len(read(DEPLOY, FLAG, RENEWAL, by=small)) == 3
    for body in (lines(DEPLOY, FLAG, RENEWAL, DEPLOY), lines(DEPLOY) + b"\n\n" + lines(FLAG).strip()):
        with pytest.raises(TooLarge, match="more than 3 lines; send fewer facts at a time"):
            decode_facts(body, small, NOW)


def test_four_mib_of_newlines_are_refused_before_they_are_split() -> None:
    with pytest.raises(TooLarge, match="more than 20000 lines"):
        decode_facts(b"\n" * (4 << 20), RULES, NOW)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*RENEWAL, *WINDOW, *FLAG, "service", "version", "link", "arr", "name", "x"])


@given(st.lists(st.sampled_from([DEPLOY, FLAG, WINDOW, RENEWAL]).flatmap(
    lambda whole: st.dictionaries(FIELDS, JUNK, max_size=3).map(lambda changed: {**whole, **changed})
), max_size=5))  # fmt: skip
def test_whatever_a_line_holds_it_is_a_fact_or_refused_and_a_fact_keeps_its_bounds(documents: list[Any]) -> None:
    facts, refused = decode_facts(lines(*documents), RULES, NOW)
    assert len(facts) + len(refused) == len(documents)
    for fact in facts:
        texts = [fact.id, fact.service, fact.version, fact.key, fact.variant, fact.due, fact.arr, fact.name, fact.link]
        assert all(len(each) <= 1_000 and each.isprintable() for each in texts)
        assert NOW - 400 * DAY_NS <= fact.at_ns <= NOW + 400 * DAY_NS
        assert not fact.account or "." in fact.account
    assert all(len(each.why) < 500 and each.why.isprintable() for each in refused)


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    facts, refused = decode_facts(body, RULES, NOW)
    assert facts == []
    assert len(refused) <= body.count(b"\n") + 1


def test_every_refusal_can_be_written_as_json() -> None:
    _, refused = decode_facts(b'{"id":"\xf0\x9f\x98\x80","kind":"\\u0000"}', RULES, NOW)
    assert orjson.loads(orjson.dumps([each._asdict() for each in refused]))
