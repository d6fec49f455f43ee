"""What a target's answer means, and that no answer takes longer or holds more than it may."""

import socket
import ssl
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_targets import (
    NOW,
    Behaviour,
    HttpTarget,
    answer,
    drip_body,
    drip_head,
    hang,
    huge_body,
    reset_before_status,
    reset_within_body,
)

from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.post import MAX_ANSWER, MAX_REASON, RETRY_AFTER_MAX_S, post, retry_after_s
from otel_cx_collector.notify.targets import parse
from otel_cx_collector.notify.words import Refused, Retry

ALLOW = ("127.0.0.1",)


CALM = Patience(5, 20, 30)
"""More than a busy machine needs."""


def send(url: str, patience: Patience = CALM, hide: tuple[str, ...] = ()) -> None:
    with Line(patience) as line:
        post(parse(url, ALLOW), {}, b"{}", line, ssl.create_default_context(), NOW, hide=hide)


def refusal(behave: Behaviour, **options: Any) -> Retry | Refused:
    with HttpTarget(behave) as target, pytest.raises((Retry, Refused)) as caught:
        send(target.url, **options)
    error: Any = caught.value
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_answer_of_success_means_that_it_was_taken(status: int) -> None:
    with HttpTarget(answer(status)) as target:
        send(target.url)
        assert target.requests[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_busy_and_broken_targets_are_tried_again(status: int) -> None:
    error = refusal(answer(status, "later"))

    assert isinstance(error, Retry)
    assert (error.after_s, error.mend) == (None, False)
    assert str(error) == f"127.0.0.1 answered {status}: later"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 301, 307])
def test_what_somebody_can_mend_is_tried_again_at_long_intervals(status: int) -> None:
    error = refusal(answer(status))

    assert isinstance(error, Retry)
    assert error.mend
    assert "address" in str(error)


@pytest.mark.parametrize(
    ("location", "where"),
    [("https://other.example/?token=s3cret", "other.example"), ("https://[::1/", "nowhere"), ("/x", "127.0.0.1")],
)
def test_of_a_redirect_the_host_alone_is_shown(location: str, where: str) -> None:
    assert str(refusal(answer(302, Location=location))).endswith(f"a redirect to {where}; write the address itself")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_wrong_is_refused_at_once(status: int) -> None:
    assert isinstance(refusal(answer(status, "invalid_blocks")), Refused)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 1),
        ("99999999", RETRY_AFTER_MAX_S),
        ("Mon, 05 Jan 2026 09:23:00 GMT", 60),
        ("Mon, 05 Jan 2026 08:00:00 GMT", 1),
        ("Mon, 05 Jan 2099 08:00:00 GMT", RETRY_AFTER_MAX_S),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_honoured_in_both_forms_and_bounded(header: str | None, seconds: int | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@given(st.text(max_size=60))
def test_a_retry_after_that_is_nonsense_is_passed_over(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or 1 <= seconds <= RETRY_AFTER_MAX_S


@pytest.mark.parametrize("status", [429, 503])
def test_a_target_says_when_to_come_back(status: int) -> None:
    error = refusal(answer(status, Retry_After="42"))

    assert isinstance(error, Retry)
    assert error.after_s == 42


@pytest.mark.parametrize("behave", [hang, drip_head, reset_before_status])
def test_a_target_that_gives_no_status_is_tried_again(behave: Behaviour) -> None:
    error = refusal(behave, patience=Patience(5, 0.3, 0.6))

    assert isinstance(error, Retry)
    assert not error.mend


def test_a_target_that_drips_is_cut_when_all_its_time_is_over() -> None:
    assert "no answer within 0.6 s" in str(refusal(drip_head, patience=Patience(5, 20, 0.6)))


@pytest.mark.parametrize("behave", [drip_body, huge_body, reset_within_body])
def test_the_status_counts_whatever_becomes_of_the_body(behave: Behaviour) -> None:
    error = refusal(behave, patience=Patience(5, 20, 3))

    assert isinstance(error, Retry)
    assert "answered 50" in str(error)
    assert len(str(error)) < MAX_REASON + 60


def test_of_a_body_no_more_is_read_than_may_be() -> None:
    read = threading.Event()

    def counted(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n" + b"x" * MAX_ANSWER)
        if connection.recv(1) == b"":  # closed by the other side although it was promised much more
            read.set()

    assert isinstance(refusal(counted), Retry)
    assert read.wait(5)


def test_a_body_of_success_is_not_waited_for() -> None:
    def slow(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        closing.wait()

    with HttpTarget(slow) as target:
        send(target.url)


def test_a_port_that_nobody_listens_at_is_tried_again() -> None:
    with HttpTarget(answer(200)) as target:
        url = target.url
    with pytest.raises(Retry, match="cannot be reached"):
        send(url)


def test_a_name_that_does_not_exist_is_tried_again() -> None:
    with pytest.raises(Retry, match="looked up"):
        send("https://no-such-host.invalid/")


def test_a_secret_that_a_target_repeats_is_not_shown() -> None:
    error = refusal(answer(403, "routing key s3cret is unknown"), hide=("s3cret",))

    assert "s3cret" not in str(error)
    assert "routing key (secret) is unknown" in str(error)


def test_markup_and_control_characters_of_an_answer_are_one_printable_line() -> None:
    assert str(refusal(answer(500, "a\r\n\x1b[31mb\u202e"))).isprintable()
