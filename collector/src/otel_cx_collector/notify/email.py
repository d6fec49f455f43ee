"""A mail over SMTP, verified TLS, one thread an incident. Not a mail server: a relay of the configuration takes it."""

import hashlib
import smtplib
import socket
import ssl
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import IO, Any, Final

from otel_cx_collector.incidents.machine import clean
from otel_cx_collector.inventory.addresses import is_this_machine
from otel_cx_collector.inventory.decisions import Email
from otel_cx_collector.notify import compose
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.post import MAX_REASON, reason_of
from otel_cx_collector.notify.secret import read_secret, without
from otel_cx_collector.notify.story import headline, story_of
from otel_cx_collector.notify.targets import Target, connect
from otel_cx_collector.notify.words import Parcel, Refused, Retry, Sent

UNFOLDED: Final = SMTP.clone(max_line_length=998)
"""Lines as long as RFC 5322 allows: folded at 78, a subject would begin with an empty line."""
MAX_REPLY: Final = 64 * 1024
"""Bytes of a server's replies in one connection."""
MAX_PARTLY: Final = 1000
"""Mails of which it is remembered who has got them already."""


class EmailChannel:
    """One relay, and whom mail goes to."""

    def __init__(self, config: Email, allow: tuple[str, ...], tls: ssl.SSLContext) -> None:
        self._config = config
        local = (config.host,) if is_this_machine(config.host) else ()
        self._target = Target(config.tls == "tls", config.host, config.port, "", (*allow, *local), config.tls == "none")
        self._tls = tls
        self._partly: OrderedDict[str, set[str]] = OrderedDict()

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Mail it to whoever has not got it. Raises Retry or Refused."""
        config = self._config
        password = "" if config.password_file is None else read_secret(config.password_file, spaces=True)
        message = message_of(parcel, config)
        try:
            refused = self._deliver(parcel.key, message, line, password)
        except smtplib.SMTPResponseException as error:
            raise _outcome(error.smtp_code, error.smtp_error, config.host, password) from None
        except (smtplib.SMTPException, OSError) as error:
            reason = line.cut_because or without(reason_of(error), password)
            raise Retry(f"{config.host}:{config.port} failed: {reason}") from None
        later = {who: code for who, (code, _) in refused.items() if code < 500}
        if later or len(refused) == len(config.to):
            who, (code, said) = next(each for each in refused.items() if not later or each[0] in later)
            raise _outcome(code, said, f"{config.host} for {who}", password)
        self._partly.pop(parcel.key, None)
        return Sent(f"refused for {', '.join(sorted(refused))}" if refused else "")

    def _deliver(self, key: str, message: EmailMessage, line: Line, password: str) -> dict[str, tuple[int, bytes]]:
        """Whom the server refuses, with its answer; the others have got it, and do not again."""
        config = self._config
        done = self._partly.setdefault(key, set())
        while len(self._partly) > MAX_PARTLY:
            self._partly.popitem(last=False)
        waiting = [who for who in config.to if who not in done]
        session = self._session(line)
        try:
            if config.tls == "starttls":
                session.starttls(context=self._tls)
            if config.username is not None:
                session.login(config.username, password)
            refused = session.send_message(message, config.sender, waiting)
            with suppress(smtplib.SMTPException, OSError):  # the mail is taken, however the server says goodbye
                session.quit()
        except smtplib.SMTPRecipientsRefused as error:
            return dict(error.recipients)
        finally:
            session.close()
        done.update(who for who in waiting if who not in refused)
        return dict(refused)

    def _session(self, line: Line) -> smtplib.SMTP:
        return _Secure(self._target, line, self._tls) if self._config.tls == "tls" else _Session(self._target, line)


class _Session(smtplib.SMTP):
    """smtplib over a connection to the address that was checked."""

    def __init__(self, target: Target, line: Line) -> None:
        self._target = target
        self._line = line
        super().__init__(target.host, target.port, socket.gethostname(), line.patience.read_s)

    def _get_socket(self, *_: Any) -> socket.socket:
        return connect(self._target, self._dial)

    def _dial(self, address: str) -> socket.socket:
        connection = socket.create_connection((address, self._target.port), self._line.patience.connect_s)
        connection.settimeout(self._line.patience.read_s)
        self._line.hold(connection)
        return connection

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib has it, from a reader that counts."""
        if self.file is None and self.sock is not None:
            self.file = _Counted(self.sock.makefile("rb"))
        return super().getreply()


class _Secure(smtplib.SMTP_SSL, _Session):
    """The same, in TLS from the first byte."""

    def __init__(self, target: Target, line: Line, tls: ssl.SSLContext) -> None:
        self._target = target
        self._line = line
        self.context = tls
        smtplib.SMTP.__init__(self, target.host, target.port, socket.gethostname(), line.patience.read_s)


class _Counted:
    """A reader of replies that ends when there are too many."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MAX_REPLY

    def readline(self, limit: int) -> bytes:
        """The next line. Raises OSError when a server never stops."""
        read = self._file.readline(limit)
        self._left -= len(read)
        if self._left < 0:
            raise OSError(f"the server sent more than {MAX_REPLY} bytes")
        return read

    def close(self) -> None:
        """Let go of the connection."""
        self._file.close()


def message_of(parcel: Parcel, config: Email) -> EmailMessage:
    """The mail. Its Message-ID is made from the key: a duplicate is the same mail."""
    stories = tuple(map(story_of, parcel.notices))
    domain = config.sender.partition("@")[2]
    subject = headline(stories)
    message = EmailMessage(policy=UNFOLDED if subject.isascii() else SMTP)
    message["From"] = config.sender
    message["To"] = ", ".join(config.to)
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(parcel.now_s, UTC))
    message["Message-ID"] = _message_id(parcel.key, domain)
    thread = _message_id(f"thread:{stories[0].id}", domain)
    message["In-Reply-To"] = thread
    message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["OtelCX-Delivery"] = clean(parcel.key, 200)
    message.set_content(compose.text(stories), cte="quoted-printable")
    message.add_alternative(compose.html(stories), subtype="html", cte="quoted-printable")
    return message


def _message_id(key: str, domain: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def _outcome(code: int, said: Any, who: str, password: str) -> Retry | Refused:
    """What a reply means (RFC 5321, 4.2.1): 4yz later, 5yz never, but for a login that somebody can mend."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    what = f"{who} answered {code}: {clean(without(text, password), MAX_REASON)}"
    if code in (530, 534, 535, 538):
        return Retry(f"{what}; mend username and password_file", mend=True)
    return Refused(what) if 500 <= code < 600 else Retry(what)
