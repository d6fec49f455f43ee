"""Server-sent events: one task waits for rounds and composes each open page once; every client is sent what changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import orjson
import structlog
from starlette.responses import PlainTextResponse

from otel_cx_collector.errors import CollectorError
from otel_cx_collector.web.compose import Frame, patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from otel_cx_collector.views.source import Source
    from otel_cx_collector.web.keys import PageKey

WAIT_S: Final = 1.0
"""Longest wait for a round: how soon a newly opened page, what a person did, or the end, is noticed."""

LATE_S: Final = 60.0
"""Without a round for so long, pages say that their figures are old (measures.md 1.4)."""

OLD: Final = "No evaluation for over a minute: these figures are old. The collector's log says why."

RETRY_MS: Final = 3000
"""When a browser that lost the connection comes back."""

START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ],
}

T = TypeVar("T")

Told = Frame | str
"""The newest frame of an open page, or the trouble it is in, in words."""


class Live:
    """The broadcaster. All of it runs on the event loop, but waiting and composing, in one thread of its own."""

    def __init__(
        self,
        source: Source,
        compose: Callable[[PageKey], Frame],
        acts: Callable[[], int],
        boot: str,
        clients: int,
        heartbeat_s: float,
    ) -> None:
        self._source = source
        self._acts = acts
        self._boot = boot
        self._compose = compose
        self._limit = clients
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="otel-cx-live")
        self._told: dict[PageKey, Told] = {}
        self.heartbeat_s = heartbeat_s
        self.open: Counter[PageKey] = Counter()
        """Clients by what they look at."""
        self.refused = 0
        """Clients that came when there were as many as may be."""
        self.news = asyncio.Event()
        """Set, and replaced, whenever something is to be told."""
        self.closing = False

    async def run(self) -> None:
        """Until cancelled: wait for a round or something a person did, compose what is open, tell.

        Without a client nothing is asked.
        """
        time = asyncio.get_running_loop().time
        seen, done, since = -1, 0, time()
        while not self.closing:
            if not self.open:
                await self.news.wait()
                since = time()
                continue
            asked = time()
            now = await self._in_thread(self._wait, seen)
            if now != seen:
                since = time()
            else:
                await asyncio.sleep(asked + WAIT_S - time())  # a source that is stopping does not wait
            acts = self._acts()
            for key in list(self.open):
                late = time() - since > LATE_S and acts == done  # what a person did is shown all the same
                await self._update(key, news=(now, acts) != (seen, done), late=late)
            seen, done = now, acts
            self.tell()

    async def _update(self, key: PageKey, *, news: bool, late: bool) -> None:
        if late:
            self._told[key] = OLD
        elif news or not isinstance(self._told.get(key), Frame):
            told = await self._in_thread(self._frame, key)
            if key in self.open and told != self._told.get(key):
                self._told[key] = told

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _wait(self, seen: int) -> int:
        try:
            return self._source.wait_round(seen, WAIT_S)
        except Exception:  # noqa: BLE001 - without this task no page would be live again
            structlog.get_logger().exception("web.live.wait")
            return seen

    def _frame(self, key: PageKey) -> Told:
        try:
            return self._compose(key)
        except CollectorError as error:
            return str(error)
        except Exception:  # noqa: BLE001 - one page that fails is told so, the others go on
            structlog.get_logger().exception("web.live.compose", page=key.path)
            return "The collector failed to make this page; its log has the details."

    def mark(self, frame: Frame) -> str:
        """What a browser remembers of a frame: rounds begin anew with every process, so the process is named too."""
        return mark(self._boot, frame)

    def told(self, key: PageKey) -> Told | None:
        """What is newest for this page; None before it was composed."""
        return self._told.get(key)

    def tell(self) -> None:
        """Wake every client, and the broadcaster."""
        self.news.set()
        self.news = asyncio.Event()

    def enter(self, key: PageKey) -> bool:
        """Count a client in; False when there are as many as may be."""
        if self.open.total() >= self._limit or self.closing:
            self.refused += 1
            return False
        self.open[key] += 1
        self.tell()
        return True

    def leave(self, key: PageKey) -> None:
        """Count a client out; what nobody looks at is forgotten."""
        self.open[key] -= 1
        if not self.open[key]:
            del self.open[key]
            self._told.pop(key, None)

    def close(self) -> None:
        """End every stream. From the event loop only."""
        self.closing = True
        self.tell()
        self._thread.shutdown(wait=False, cancel_futures=True)


class EventStream:
    """ASGI answer: the changes of one page since ``seen``, the mark of the frame that the browser shows."""

    def __init__(self, live: Live, key: PageKey, seen: str) -> None:
        self._live, self._key, self._seen = live, key, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client is gone or the server closes."""
        if not self._live.enter(self._key):
            said = "As many live pages as may be are open (web.live_clients); close one, or read without updates.\n"
            await PlainTextResponse(said, 503, {"Retry-After": "10"})(scope, receive, send)
            return
        tasks = {asyncio.ensure_future(self._stream(send)), asyncio.ensure_future(_gone(receive))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._live.leave(self._key)

    async def _stream(self, send: Send) -> None:
        await send(START)
        await _write(send, f"retry: {RETRY_MS}\n\n".encode())
        live, shown, last = self._live, None, None
        while not live.closing:
            news, told = live.news, live.told(self._key)
            if told is not None and told is not last:
                known = last is None and isinstance(told, Frame) and live.mark(told) == self._seen
                if not known:
                    await _write(send, event(shown, told, live))
                shown, last = (told if isinstance(told, Frame) else shown), told
                continue
            try:
                await asyncio.wait_for(news.wait(), live.heartbeat_s)
            except TimeoutError:
                await _write(send, b": beat\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def mark(boot: str, frame: Frame) -> str:
    """One round of one process, and what people did until then."""
    return f"{boot}-{frame.round}.{frame.acts}"


def event(shown: Frame | None, told: Told, live: Live) -> bytes:
    """One event: what to change, or the trouble."""
    if isinstance(told, str):
        return b"event: trouble\ndata: " + orjson.dumps({"message": told}) + b"\n\n"
    body = orjson.dumps({"round": told.round, "empty": told.empty, **patch(shown, told)})
    return f"id: {live.mark(told)}\nevent: patch\ndata: ".encode() + body + b"\n\n"


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
