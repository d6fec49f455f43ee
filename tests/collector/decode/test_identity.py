"""Whose execution it is: attempt keys and their grades, customers, accounts and sessions."""

import re
from typing import Any

import pytest
from spans import ATTEMPT, INVENTORY, KEYS, TAGGER, both, request, row_of, span, step

from otel_cx import semconv
from otel_cx.pseudonym import Keyring
from otel_cx_collector.errors import UserError
from otel_cx_collector.inventory import parse
from otel_cx_collector.tag import HashKeys, Tagger

TRACE = bytes(range(1, 17)).hex()
ANN = KEYS.pseudonym("ann")
KEYLESS = Tagger(parse(INVENTORY))


def key(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> tuple[str, str]:
    row = row_of(step(attributes), resource)
    return row.attempt, str(row.grade)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (ATTEMPT | {"cart.id": "c", "session.id": "s", "otelcx.customer.id": ANN}, ("a-1", "explicit")),
        ({"cart.id": "c", "session.id": "s", "otelcx.customer.id": ANN}, ("c", "explicit")),
        ({"cart.id": 42, "session.id": "s"}, ("42", "explicit")),
        ({"cart.id": -7}, ("-7", "explicit")),
        ({"cart.id": 1.5}, ("1.5", "explicit")),
        ({"cart.id": False}, ("false", "explicit")),
        ({"session.id": "s", "otelcx.customer.id": ANN}, ("s", "session")),
        ({"otelcx.customer.id": ANN}, (ANN, "customer")),
        ({"enduser.id": "ann"}, (ANN, "customer")),
        ({}, (TRACE, "trace")),
        ({"otelcx.journey.attempt": "", "session.id": "s"}, ("s", "session")),
        ({"otelcx.journey.attempt": None, "session.id": "s"}, ("s", "session")),
    ],
)
def test_the_attempt_key_is_the_first_that_is_present(attributes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert key(attributes) == expected


def test_the_attempt_attribute_of_another_journey_is_not_read() -> None:
    row = row_of(span({"otelcx.journey.name": "login", "otelcx.journey.step": "password", "cart.id": "c"}))
    assert (row.attempt, row.grade) == (TRACE, "trace")


def test_the_key_may_stand_on_the_resource_and_the_span_own_wins() -> None:
    assert key({}, ATTEMPT) == ("a-1", "explicit")
    assert key({"otelcx.journey.attempt": "own"}, ATTEMPT) == ("own", "explicit")
    assert key({"otelcx.journey.attempt": ""}, ATTEMPT) == ("a-1", "explicit")


@pytest.mark.parametrize(
    "odd", ["x" * 65, "a b", "a/b", "ann@example.com", "ключ", "\x00", "x" * 10_000, ["a"], {"a": 1}]
)
def test_an_odd_key_becomes_a_short_digest_and_the_attempt_is_kept(odd: object) -> None:
    first, grade = key({"otelcx.journey.attempt": odd})
    assert grade == "explicit"
    assert semconv.VALUE.fullmatch(first)
    assert first != odd
    assert key({"otelcx.journey.attempt": odd}) == (first, grade)


def test_two_odd_keys_are_two_attempts() -> None:
    assert key({"otelcx.journey.attempt": "x" * 65}) != key({"otelcx.journey.attempt": "x" * 66})
    assert key({"otelcx.journey.attempt": "a b"}) != key({"otelcx.journey.attempt": "a  b"})


def test_a_key_of_64_characters_stays_as_it_is() -> None:
    assert key({"otelcx.journey.attempt": "x" * 64})[0] == "x" * 64


def test_pseudonyms_of_customer_and_account_are_taken_as_they_are() -> None:
    other = "k9." + "A" * 22
    row = row_of(step({"otelcx.customer.id": ANN, "otelcx.account.id": other}))
    assert (row.customer, row.account) == (ANN, other)


@pytest.mark.parametrize("raw", ["ann", "k1.tooshort", ANN + "x", "x" * 5_000, 42, "ann@example.com"])
def test_a_raw_id_is_hashed_where_there_is_a_key(raw: object) -> None:
    row = row_of(step({"otelcx.customer.id": raw, "otelcx.account.id": raw}))
    assert row.customer == row.account == KEYS.pseudonym(str(raw)[:4_096])
    assert semconv.PSEUDONYM.fullmatch(row.customer)


def test_a_raw_id_is_dropped_and_counted_where_there_is_no_key() -> None:
    decoded = both(request(step({"otelcx.customer.id": "ann", "otelcx.account.id": "acme"})), KEYLESS)
    (row,) = decoded.rows
    assert (row.customer, row.account, row.grade) == ("", "", "trace")
    assert decoded.overflow == {("otelcx.customer.id", "shop"): 1, ("otelcx.account.id", "shop"): 1}


def test_a_raw_id_reaches_no_field_of_a_row() -> None:
    for tagger in (TAGGER, KEYLESS):
        decoded = both(request(step({"otelcx.customer.id": "ann@example.com", "enduser.id": "secret"})), tagger)
        assert not re.search("ann|example|secret", repr(decoded))


def test_identify_names_where_services_without_the_sdk_carry_ids() -> None:
    row = row_of(step({"enduser.id": "ann", "tenant.pseudo": "t-77"}))
    assert (row.customer, row.account) == (ANN, "t-77")
    assert row_of(step({"enduser.id": "ann"}), tagger=KEYLESS).customer == ""
    assert row_of(step(), {"service.name": "x", "enduser.id": "ann"}).customer == ANN


def test_identify_hashes_even_what_looks_like_a_pseudonym_when_told_to() -> None:
    assert row_of(step({"enduser.id": ANN})).customer == KEYS.pseudonym(ANN)


def test_an_unhashed_identity_that_is_no_value_is_hashed_or_dropped() -> None:
    assert row_of(step({"tenant.pseudo": "Acme Inc."})).account == KEYS.pseudonym("Acme Inc.")
    assert row_of(step({"tenant.pseudo": "Acme Inc."}), tagger=KEYLESS).account == ""


def test_the_wire_attribute_wins_over_identify() -> None:
    assert row_of(step({"otelcx.customer.id": ANN, "enduser.id": "bob"})).customer == ANN


def test_the_session_may_come_from_identify_too_and_be_hashed() -> None:
    plain = Tagger(parse("identify: {session: {attribute: sid}}\njourneys: {checkout: {steps: [payment]}}"), KEYS)
    hashed = Tagger(
        parse("identify: {session: {attribute: sid, hash: true}}\njourneys: {checkout: {steps: [payment]}}"), KEYS
    )
    assert row_of(step({"sid": "s-1"}), tagger=plain).session == "s-1"
    assert row_of(step({"sid": "s-1"}), tagger=hashed).session == KEYS.pseudonym("s-1")
    assert row_of(step({"sid": "s-1", "session.id": "own"}), tagger=hashed).session == "own"


@pytest.mark.parametrize("raw", ["ann", "Zoë", "🙂", "a" * 1000])
def test_pseudonyms_are_the_ones_the_sdk_makes(raw: str) -> None:
    assert KEYS.pseudonym(raw) == Keyring({"k1": b"0123456789abcdef"}).pseudonym(raw)
    content = "# comment\n\n k1:0123456789abcdef \nold:aaaaaaaaaaaaaaaaaaaa\n"
    assert HashKeys.parse(content).pseudonym(raw) == Keyring.parse(content).pseudonym(raw)


@pytest.mark.parametrize("content", ["", "# nothing", "k1", "k1:short", "a b:0123456789abcdef", ":0123456789abcdef"])
def test_a_key_file_without_a_usable_key_is_an_error_that_shows_no_secret(content: str) -> None:
    with pytest.raises(UserError) as error:
        HashKeys.parse(content)
    assert "short" not in str(error.value)
    assert "0123456789abcdef" not in str(error.value)


def test_a_secret_is_not_shown() -> None:
    assert "0123456789abcdef" not in repr(KEYS)
