"""Mail through a real SMTP server that is right, busy, rude, slow, or not who it says."""

import email.policy
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from notify_targets import NOW, body, notice

from otel_cx_collector.inventory.decisions import Channel
from otel_cx_collector.notify.channels import sender_of
from otel_cx_collector.notify.email import MAX_REPLY
from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.words import Parcel, Refused, Retry, Sent

AUTHORITY = trustme.CA()
TO = ["oncall@shop.example", "boss@shop.example"]


class Mailbox:
    """Takes mail, unless it is told what to answer to RCPT of an address, or to DATA."""

    def __init__(self, data: str = "250 taken", **recipients: str) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.data = data
        self.recipients = recipients

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        said = self.recipients.get(address.partition("@")[0], "250 OK")
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        if self.data.startswith("250"):
            self.mails.append((envelope.rcpt_tos, envelope.content))
        return self.data

    def mail(self, index: int = 0) -> EmailMessage:
        parsed = BytesParser(policy=email.policy.default).parsebytes(self.mails[index][1])
        assert isinstance(parsed, EmailMessage)
        return parsed


def context(host: str = "127.0.0.1") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(host).configure_cert(made)
    return made


@contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def talking(*replies: bytes) -> Iterator[int]:
    """A server that says these things one after the other, whatever it is told, and then nothing."""
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for reply in replies:
                    connection.sendall(reply)
                    connection.recv(65536)
                closing.wait()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        closing.set()
        thread.join(5)


class Mailing:
    """One e-mail channel."""

    def __init__(self, port: int, *, trusting: bool = True, patience: Patience | None = None, **config: Any) -> None:
        written = {"host": "127.0.0.1", "port": port, "from": "otel-cx@shop.example", "to": TO, "tls": "none"} | config
        tls = ssl.create_default_context()
        if trusting:
            AUTHORITY.configure_trust(tls)
        self._sender = sender_of(Channel.model_validate({"email": written}), tls)
        self._patience = patience or Patience(5, 20, 30)

    def send(self, **values: Any) -> Sent:
        with Line(self._patience) as line:
            return self._sender.send(Parcel((notice(**values),), NOW), line)


def test_a_mail_says_it_in_text_and_in_html() -> None:
    with serving(box := Mailbox()) as port:
        assert Mailing(port).send() == Sent()

    mail = box.mail()
    assert mail["Subject"] == "P1 Checkout: 1,240 of 3,100 customers cannot complete, since 09:02 UTC"
    assert (mail["From"], mail["To"]) == ("otel-cx@shop.example", ", ".join(TO))
    assert mail["Date"].datetime.timestamp() == NOW
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Do first: roll back" in text.get_content()
    assert "<b>Do first: roll back</b>" in html.get_content()
    assert box.mails[0][0] == TO


def test_a_duplicate_is_the_same_mail_and_an_incident_is_a_thread() -> None:
    with serving(box := Mailbox()) as port:
        mailing = Mailing(port)
        for sequence in (1, 1, 2):
            mailing.send(sequence=sequence)
        mailing.send(incident="search-20260105T091200Z")

    first, again, next_one, other = (box.mail(index) for index in range(4))
    assert first["Message-ID"] == again["Message-ID"] != next_one["Message-ID"]
    assert first["References"] == next_one["References"] == next_one["In-Reply-To"] != other["References"]
    assert first["Message-ID"].endswith("@shop.example>")


def test_no_header_can_be_smuggled_in() -> None:
    evil = "x\r\nBcc: thief@evil.example\r\n\r\n<script>"
    with serving(box := Mailbox()) as port:
        Mailing(port).send(body=body(journey_title=evil, owner=evil), incident=evil, what=evil)

    mail = box.mail()
    assert mail["Bcc"] is None
    assert box.mails[0][0] == TO
    assert "Bcc: thief@evil.example" in mail["Subject"]
    assert b"<script>" not in box.mails[0][1].partition(b"text/html")[2]


def test_starttls_and_tls_are_verified_and_the_password_goes_through_them(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    login: dict[str, Any] = {"username": "otel-cx", "password_file": str(tmp_path / "password")}
    seen = []

    def authenticate(_: Any, __: Any, ___: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"correct horse", handled=False)

    options = {"tls_context": context(), "require_starttls": True, "authenticator": authenticate, "auth_required": True}
    with serving(box := Mailbox(), **options) as port:
        Mailing(port, tls="starttls", **login).send()
        (tmp_path / "password").write_text("wrong battery")
        with pytest.raises(Retry, match="535") as caught:
            Mailing(port, tls="starttls", **login).send()

    assert len(box.mails) == 1
    assert seen[0] == (b"otel-cx", b"correct horse")
    assert caught.value.mend
    assert "battery" not in str(caught.value)


def test_tls_from_the_first_byte_works() -> None:
    with serving(box := Mailbox(), ssl_context=context()) as port:
        Mailing(port, tls="tls").send()
    assert len(box.mails) == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize(("host", "trusting"), [("127.0.0.1", False), ("other.test", True)])
def test_a_certificate_that_is_wrong_gets_no_mail(tls: str, host: str, *, trusting: bool) -> None:
    box = Mailbox()
    options = {"ssl_context" if tls == "tls" else "tls_context": context(host)}
    with serving(box, **options) as port, pytest.raises(Retry, match="certificate verify failed"):
        Mailing(port, tls=tls, trusting=trusting).send()
    assert box.mails == []


def test_a_server_without_starttls_gets_no_mail_in_the_clear() -> None:
    with serving(box := Mailbox()) as port, pytest.raises(Retry, match="STARTTLS"):
        Mailing(port, tls="starttls").send()
    assert box.mails == []


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("451 try later", Retry), ("421 going down", Retry), ("550 no such user", Refused), ("554 spam", Refused)],
)
def test_a_reply_of_4yz_means_later_and_5yz_never(said: str, outcome: type[Exception]) -> None:
    with serving(Mailbox(said)) as port, pytest.raises(outcome, match=said[:3]):
        Mailing(port).send()
    with serving(Mailbox(oncall=said, boss=said)) as port, pytest.raises(outcome, match=said[:3]):
        Mailing(port).send()


def test_a_recipient_that_is_refused_does_not_keep_the_others_from_it() -> None:
    with serving(box := Mailbox(boss="550 left the company")) as port:
        assert Mailing(port).send() == Sent("refused for boss@shop.example")
    assert box.mails[0][0] == TO[:1]


def test_a_recipient_that_is_to_be_tried_later_gets_it_later_and_the_others_do_not_get_it_again() -> None:
    box = Mailbox(boss="451 mailbox is busy")
    with serving(box) as port:
        mailing = Mailing(port)
        with pytest.raises(Retry, match=r"boss@shop\.example answered 451"):
            mailing.send()
        box.recipients = {}
        mailing.send()
    assert [who for who, _ in box.mails] == [TO[:1], TO[1:]]


@pytest.mark.parametrize(
    "replies",
    [
        (),
        (b"220 hello\r\n",),
        (b"220 hello\r\n", b"250 OK\r\n", b"250 OK\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go on\r\n"),
    ],
)
def test_a_server_that_hangs_is_left(replies: tuple[bytes, ...]) -> None:
    with talking(*replies) as port, pytest.raises(Retry):
        Mailing(port, patience=Patience(5, 0.3, 1)).send()


def test_a_server_that_hangs_at_the_goodbye_has_taken_the_mail() -> None:
    said = (b"220 hello\r\n", *[b"250 OK\r\n"] * 4, b"354 go on\r\n", b"250 taken\r\n")
    with talking(*said) as port:
        assert Mailing(port, patience=Patience(5, 2, 20)).send() == Sent()


def test_a_server_that_never_stops_talking_is_left() -> None:
    with talking(b"220-more\r\n" * (MAX_REPLY // 10 + 1)) as port, pytest.raises(Retry, match=r"more than \d+ bytes"):
        Mailing(port).send()


def test_a_server_that_goes_away_is_tried_again() -> None:
    with talking(b"421 overloaded\r\n") as port, pytest.raises(Retry, match="421"):
        Mailing(port).send()
    with pytest.raises(Retry, match="cannot be reached"):
        Mailing(port).send()


def test_mail_in_the_clear_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **named: real(host.replace("mail.test", "8.8.8.8"), *more, **named)
    )
    config = {"host": "mail.test", "port": 25, "from": "a@shop.example", "to": TO, "tls": "none"}
    channel = Channel.model_validate({"email": config, "allow_private": ["mail.test"]})
    with Line(Patience()) as line, pytest.raises(Retry, match="in the clear") as caught:
        sender_of(channel, ssl.create_default_context()).send(Parcel((notice(),), NOW), line)
    assert caught.value.mend


def test_the_hook_of_smtplib_that_connects_is_still_there() -> None:
    assert callable(smtplib.SMTP._get_socket)  # type: ignore[attr-defined]
