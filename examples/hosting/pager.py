"""The company's pager: takes the collector's webhooks, checks who sent them, and shows what people were told.

Nobody is really woken. What came is kept in ``pager.jsonl``, one line a request, printed to the log, and shown
at ``/``. ``silent-pager`` makes it answer 503.
"""

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from examples.hosting import serving, settings
from examples.hosting.faults import Faults

SECRET_FILE: Final = "pager.secret"  # noqa: S105 a file's name
TOLERANCE_S: Final = 300
"""A signature this old was recorded and sent again."""
SHOWN: Final = 100
"""Messages on the page, the newest first."""
MAX_BODY: Final = 2 << 20

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>Pager of the hosting company</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
article {{ border: 1px solid #8888; border-left: .4rem solid #c33; border-radius: .5rem; padding: .75rem 1rem;
  margin: .75rem 0; }}
article.later {{ border-left-color: #8888; }}
h2 {{ font-size: 1.1rem; margin: 0; }} pre {{ white-space: pre-wrap; font: inherit; margin: .5rem 0 0; }}
small {{ opacity: .8; }}
</style></head>
<body><h1>Pager of the hosting company</h1>
<p>What people would have been told. {alive}</p>
{messages}
</body></html>"""

MESSAGE: Final = """<article class="{look}"><small>{at} to {channel}: {what}</small>
<h2>{subject}</h2><pre>{text}</pre></article>"""


@dataclass(frozen=True, slots=True)
class Message:
    """One request as it came, and how it was answered."""

    at: float
    """Seconds since the epoch."""
    channel: str
    status: int
    delivery: str
    """The same at every try of the same message."""
    subject: str
    text: str
    notices: list[dict[str, Any]]
    """Of each its key, incident, kind and severity, and how many customers it speaks of."""


def secret_file(home: Path) -> Path:
    """The secret that the collector signs with, made once."""
    path = home / SECRET_FILE
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{secrets.token_urlsafe(32)}\n")
    return path


def genuine(secret: str, signature: str, body: bytes, now_s: float) -> bool:
    """Whether a body was signed by who knows the secret, and lately."""
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    signed_s = parts.get("t", "")
    if not signed_s.isdecimal() or abs(now_s - int(signed_s)) > TOLERANCE_S:
        return False
    expected = hmac.new(secret.encode(), f"{signed_s}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), parts.get("v1", "").encode())


class Pager:
    """What has come, in memory and in the file."""

    def __init__(self, home: Path, faults: Faults, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret_file(home)
        self._file = home / "pager.jsonl"
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._beat_s: float | None = None
        self.messages = _read(self._file)

    def take(self, channel: str, signature: str, delivery: str, body: bytes) -> tuple[int, str]:
        """Take a request; the status to answer with, and why."""
        now_s = self._clock()
        if not genuine(self._secret.read_text().strip(), signature, body, now_s):
            return 401, "the signature is missing, old or wrong"
        document = json.loads(body)
        if "heartbeat" in document:
            self._beat_s = now_s
            return 204, ""
        silent = self._faults.share("silent-pager") > 0
        status, why = (503, "silent-pager is on") if silent else (204, "")
        notices = [_brief(notice) for notice in document["notices"]]
        self._keep(Message(now_s, channel, status, delivery, document["subject"], document["text"], notices))
        return status, why

    def _keep(self, message: Message) -> None:
        with self._lock:
            self.messages.append(message)
            with self._file.open("a") as file:
                file.write(json.dumps(asdict(message)) + "\n")
        print(f"{message.status} {message.channel}: {message.subject}", flush=True)

    def page(self) -> str:
        """The page: what was taken, the newest first; a message that comes twice is shown once."""
        with self._lock:
            taken = {message.delivery + message.channel: message for message in self.messages if message.status < 300}
            refused = sum(message.status >= 300 for message in self.messages)
        shown = "\n".join(_article(message) for message in list(taken.values())[: -SHOWN - 1 : -1])
        beat = "no sign of life of the collector yet"
        if self._beat_s is not None:
            beat = f"The collector gave a sign of life {self._clock() - self._beat_s:.0f} s ago"
        tries = f"; {refused} tries were answered 503" if refused else ""
        return PAGE.format(alive=f"{beat}{tries}.", messages=shown or "<p>Nobody was told anything.</p>")


def _read(file: Path) -> list[Message]:
    try:
        return [Message(**json.loads(line)) for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return []


def _brief(notice: dict[str, Any]) -> dict[str, Any]:
    incident = notice.get("incident") or {}
    kept = {name: notice[name] for name in ("key", "id", "what", "severity", "at")}
    return {**kept, "affected": incident.get("reach", {}).get("affected")}


def _article(message: Message) -> str:
    what = ", ".join(f"{notice['severity']} {notice['what']}" for notice in message.notices)
    alarming = any(notice["what"] in {"opened", "raised", "reopened"} for notice in message.notices)
    return MESSAGE.format(
        look="" if alarming else "later",
        at=time.strftime("%H:%M:%S", time.localtime(message.at)),
        channel=escape(message.channel),
        what=escape(what),
        subject=escape(message.subject),
        text=escape(message.text.removeprefix(message.subject).strip()),
    )


def make(pager: Pager) -> FastAPI:
    """Build the application."""
    app = FastAPI(openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return pager.page()

    @app.post("/{channel}")
    async def take(channel: str, request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_BODY:
            return PlainTextResponse("too large", 413)
        named = request.headers
        signature, delivery = named.get("otelcx-signature", ""), named.get("otelcx-delivery", "")
        status, why = pager.take(channel, signature, delivery, body)
        return Response(status_code=status) if status == 204 else PlainTextResponse(why, status)

    return app


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    serving.serve_asgi(make(Pager(mine.home, Faults(mine.home))))


if __name__ == "__main__":
    main()
