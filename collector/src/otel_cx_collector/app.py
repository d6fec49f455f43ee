"""One process: ingest, store, control, delivery and web put together, started in order and stopped in the opposite one.

Nothing is decided here; effects that the stages ask for are performed here.
"""

import random
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_cx_collector import clock
from otel_cx_collector.answers import Answers
from otel_cx_collector.beat import Beater
from otel_cx_collector.config import Settings
from otel_cx_collector.control import Control
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.health import Health
from otel_cx_collector.ingest import Ingest, hash_keys
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.log import Log
from otel_cx_collector.notify.courier import Courier
from otel_cx_collector.receive import Access, Counts, GrpcReceiver, HttpReceiver, InFlight, ReceiveLimits
from otel_cx_collector.state import FILE, State
from otel_cx_collector.store import Flusher, Store
from otel_cx_collector.traffic import unmapped
from otel_cx_collector.views.source import Intake
from otel_cx_collector.web import WebServer, WebSettings

GRACE_S: Final = 5.0
FLUSH_TIMEOUT_S: Final = 10.0
"""A round waits this long for what was acknowledged before it to be stored; then it is late, and says so."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the process listens, as bound."""

    grpc: int
    http: int
    web: int
    health: int


class App:
    """The collector as one process. ``start`` once, ``stop`` once."""

    def __init__(self, settings: Settings, inventory: Inventory, now_ns: Callable[[], int] = clock.now_ns) -> None:
        self._settings = settings
        self._inventory = inventory
        self._now_ns = now_ns
        self._stack = ExitStack()
        self._reloads: list[Callable[[Inventory], None]] = []
        self._courier: Courier | None = None

    def start(self) -> Ports:
        """Open what is on disk, judge what was missed, and take traffic last of all.

        Raises:
            UserError: A port is taken, a directory is another process's, a file is of a later version.
        """
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> Ports:
        settings, stack = self._settings, self._stack
        store = stack.enter_context(Store(settings.data / "store", settings.chdb, self._now_ns))
        rows = stack.enter_context(Log(settings.data / "log", settings.log))
        flusher = Flusher(rows, store, settings.chdb)
        flusher.start()
        stack.callback(flusher.stop, FLUSH_TIMEOUT_S)
        ingest = Ingest(self._inventory, settings, rows, self._now_ns)
        beater = Beater(_node(settings.data), store, self._now_ns, lambda: _flushed(flusher), ingest.took_all)
        control, web_port = self._judge(
            store, beater.beat, lambda: ingest.intake(flusher, settings.log.max_bytes), ingest
        )
        health = Health(settings.health, lambda: "" if control.round else "the first evaluation is still under way")
        health_port = health.start()
        stack.callback(health.stop)
        return self._receive(ingest, web_port, health_port)

    def _judge(
        self, store: Store, prepare: Callable[[], None], counters: Callable[[], Intake], ingest: Ingest
    ) -> tuple[Control, int]:
        """Control, its pages and its courier; the port of the pages."""
        settings, stack = self._settings, self._stack
        place = settings.data / FILE if settings.control == "sqlite" else settings.control
        state = stack.enter_context(State.open(place, password_file=settings.control_password_file))
        control = Control(
            inventory=self._inventory,
            rows=store,
            state=state,
            clock=self._now_ns,
            prepare=prepare,
            counters=counters,
            url=self._url,
        )
        answers = Answers(control, lambda: unmapped(ingest.traffic.observed(), self._inventory))
        web = WebServer(answers, _web(settings))
        web_port = web.start()
        stack.callback(web.stop)
        self._deliver(control, state)
        stack.callback(self._stop_delivering)
        control.start()
        stack.callback(control.stop)
        self._reloads.append(lambda inventory: self._rejudge(control, state, inventory))
        self._reloads.append(ingest.use)
        return control, web_port

    def _deliver(self, control: Control, state: State) -> None:
        """Start a courier for the channels of the inventory in force."""
        self._courier = Courier(
            state,
            control.inventory,
            self._now_ns,
            random.SystemRandom().random,
            self._url,
            healthy=control.healthy,
            standing=lambda: state.incidents(open_only=True),
        )
        self._courier.start()

    def _rejudge(self, control: Control, state: State, inventory: Inventory) -> None:
        control.use(inventory)
        self._stop_delivering()
        self._deliver(control, state)

    def _stop_delivering(self) -> None:
        if self._courier:
            self._courier.stop()

    def reload(self, inventory: Inventory) -> None:
        """Go on by another inventory, without a restart: requests, judgement and delivery, from now on.

        Raises:
            UserError: It cannot be used; the old one stays in force.
        """
        hash_keys(inventory)
        self._inventory = inventory
        for use in self._reloads:
            use(inventory)

    @property
    def _url(self) -> str:
        """Where people find the pages, for links in notices."""
        return self._settings.web_url.rstrip("/") or f"http://{self._settings.web}"

    def _receive(self, ingest: Ingest, web_port: int, health_port: int) -> Ports:
        """Take traffic: last of all, when everything it needs is there."""
        settings = self._settings
        limits = ReceiveLimits(wire_bytes=settings.limits.wire_bytes, body_bytes=settings.limits.message_bytes)
        counts, in_flight = Counts(), InFlight(limits.in_flight_bytes)
        access = Access(token_file=settings.token_file, allow_unauthenticated=settings.allow_unauthenticated)
        grpc = GrpcReceiver(settings.grpc, ingest, limits, access=access, counts=counts, in_flight=in_flight)
        http = HttpReceiver(settings.http, ingest, limits, access=access, counts=counts, in_flight=in_flight)
        grpc_port = grpc.start()
        self._stack.callback(grpc.stop, GRACE_S)
        http_port = http.start()
        self._stack.callback(http.stop, GRACE_S)
        return Ports(grpc=grpc_port, http=http_port, web=web_port, health=health_port)

    def stop(self) -> None:
        """Take no more, store what was acknowledged, let go of everything: in the opposite order of the start."""
        self._stack.close()


def _flushed(flusher: Flusher) -> None:
    if not flusher.flush(FLUSH_TIMEOUT_S):
        reason = flusher.state.last_error or f"not done within {FLUSH_TIMEOUT_S:g} s"
        raise Unavailable(f"what was received is not stored yet: {reason}; the log keeps it and tries again")


def _node(data: Path) -> str:
    """This node's name among the ingest nodes: made once, kept in its data directory."""
    path = data / "node"
    if not path.exists():
        path.write_text(f"node-{secrets.token_hex(4)}\n")
    return path.read_text().strip()


def _web(settings: Settings) -> WebSettings:
    host, _, port = settings.web.rpartition(":")
    return WebSettings(
        host=host.strip("[]"),
        port=int(port),
        hosts=settings.web_hosts,
        otlp=(f"{settings.grpc} (gRPC)", f"http://{settings.http} (HTTP)"),
    )
