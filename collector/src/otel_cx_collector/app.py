"""One process: ingest, store, control, delivery and web put together, started in order and stopped in the opposite one.

Nothing is decided here; effects that the stages ask for are performed here.
"""

import random
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from otel_cx_collector import clock
from otel_cx_collector.answers import Answers
from otel_cx_collector.config import Settings
from otel_cx_collector.control import Control
from otel_cx_collector.health import Health
from otel_cx_collector.ingest import hash_keys
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.node import LeftOver, Node, logs_left_over
from otel_cx_collector.notify.courier import Courier
from otel_cx_collector.state import FILE, State
from otel_cx_collector.store import Store
from otel_cx_collector.traffic import unmapped
from otel_cx_collector.web import WebServer, WebSettings
from otel_cx_collector.workers import Workers


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the process listens, as bound."""

    grpc: int
    http: int
    web: int
    health: int


class App:
    """The collector on one machine. ``start`` once, ``stop`` once.

    With ``workers`` above 1 so many processes take telemetry, and this one has the rest.
    """

    def __init__(
        self, settings: Settings, inventory: Inventory, now_ns: Callable[[], int] = clock.now_ns, *, workers: int = 1
    ) -> None:
        self._settings = settings
        self._workers = workers
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
        node, left = self._ingest(store)
        node.start()

        def prepare() -> None:
            left.flush()
            node.beat()

        control, web_port = self._judge(store, prepare, node)
        health = Health(settings.health, lambda: node.problem() or _unjudged(control))
        health_port = health.start()
        stack.callback(health.stop)
        ports = node.receive()  # last of all, when everything it needs is there
        stack.callback(node.deafen)
        return Ports(grpc=ports.grpc, http=ports.http, web=web_port, health=health_port)

    def _ingest(self, store: Store) -> tuple[Node | Workers, LeftOver]:
        """What takes telemetry, not started yet, and what brings home the logs of an earlier run with other workers."""
        settings, stack, name = self._settings, self._stack, _node(self._settings.data)
        node: Node | Workers
        if self._workers > 1:
            node = Workers(self._workers, name, settings, self._inventory, store)
        else:
            node = Node(name, settings.data / "log", settings, self._inventory, store, self._now_ns)
        stack.callback(node.stop)
        left = LeftOver(logs_left_over(settings.data, node.directories), settings, store)
        stack.callback(left.stop)
        return node, left

    def _judge(self, store: Store, prepare: Callable[[], None], node: Node | Workers) -> tuple[Control, int]:
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
            counters=node.intake,
            url=self._url,
        )
        answers = Answers(control, lambda: unmapped(node.observed(), self._inventory))
        web = WebServer(answers, _web(settings))
        web_port = web.start()
        stack.callback(web.stop)
        self._deliver(control, state)
        stack.callback(self._stop_delivering)
        control.start()
        stack.callback(control.stop)
        self._reloads.append(lambda inventory: self._rejudge(control, state, inventory))
        self._reloads.append(node.use)
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

    def stop(self) -> None:
        """Take no more, store what was acknowledged, let go of everything: in the opposite order of the start."""
        self._stack.close()


def _unjudged(control: Control) -> str:
    return "" if control.round else "the first evaluation is still under way"


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
