"""The collector on one machine: its parts put together by role, started in order and stopped in the opposite one.

Nothing is decided here; effects that the stages ask for are performed here.
"""

import random
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from otel_cx_collector import clock, config, metrics
from otel_cx_collector.answers import Answers
from otel_cx_collector.beat import Ticker
from otel_cx_collector.config import Settings
from otel_cx_collector.control import Control
from otel_cx_collector.erase import Column, Report, erase
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import MINUTE_S, NS, SLICE_S
from otel_cx_collector.health import Health
from otel_cx_collector.ingest import KEY_FILE, hash_keys, keys_of_file
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.inventory.observed import Observed
from otel_cx_collector.log import Log
from otel_cx_collector.logbook import Repeated
from otel_cx_collector.metrics.page import Part
from otel_cx_collector.node import LeftOver, Node, NodePorts, logs_left_over
from otel_cx_collector.notify.courier import Courier
from otel_cx_collector.rollup import Rollups
from otel_cx_collector.state import FILE, State
from otel_cx_collector.store import Store
from otel_cx_collector.store.remote import RemoteStore
from otel_cx_collector.traffic import unmapped
from otel_cx_collector.views.source import Intake
from otel_cx_collector.web import WebServer, WebSettings
from otel_cx_collector.workers import Workers

EMBEDDED: Final = "chdb"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the process listens, as bound; 0 where its role does not."""

    grpc: int
    http: int
    web: int
    health: int


class App:
    """The collector on one machine, or its part of a cluster. ``start`` once, ``stop`` once.

    With ``workers`` above 1 so many processes take telemetry, and this one has the rest. Role ``ingest`` takes
    telemetry and judges nothing, ``control`` judges and takes none; both need ClickHouse servers between them.
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
        self._parts: dict[str, Part] = {}
        self._problems: list[Callable[[], str]] = []
        self._courier: Courier | None = None

    def start(self) -> Ports:
        """Open what is on disk, judge what was missed, and take traffic last of all.

        Raises:
            UserError: A port is taken, a directory is another process's, a file is of a later version, a role has no
                servers.
        """
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> Ports:
        role = self._settings.role
        store = self._stack.enter_context(self._store())
        node, prepare = self._ingest(store) if role != "control" else (None, _nothing)
        web_port = self._judge(store, prepare, node) if role != "ingest" else 0
        if node is not None and role == "ingest":
            self._tick("beat", prepare, SLICE_S)
        health_port = self._tell()
        ports = NodePorts(0, 0)
        if node is not None:
            ports = node.receive()  # last of all, when everything it needs is there
            self._stack.callback(node.deafen)
        return Ports(grpc=ports.grpc, http=ports.http, web=web_port, health=health_port)

    def _store(self) -> Store:
        settings = self._settings
        if settings.store == EMBEDDED:
            if settings.role != "all":
                raise UserError(
                    f"role {settings.role} needs a store that other processes reach too; set store: "
                    "clickhouse://user@host:8123/otel_cx, or role: all"
                )
            return Store(settings.data / "store", settings.chdb, self._now_ns)
        address = config.clickhouse(settings.store)
        return RemoteStore(address, settings.chdb, settings.store_password_file, settings.store_ca_file)

    def _ingest(self, store: Store) -> tuple[Node | Workers, Callable[[], None]]:
        """What takes telemetry, and what brings what it took to the store and says so; logs left over come home."""
        settings, stack, name = self._settings, self._stack, _node(self._settings.data)
        node: Node | Workers
        if self._workers > 1:
            node = Workers(self._workers, name, settings, self._inventory, store)
        else:
            node = Node(name, settings.data / "log", settings, self._inventory, store, self._now_ns)
        stack.callback(node.stop)
        left = LeftOver(logs_left_over(settings.data, node.directories), settings, store)
        stack.callback(left.stop)
        node.start()
        self._parts |= {
            "intake": lambda: metrics.of_intake(node.intake()),
            "node": lambda: metrics.of_node(node.tally()),
        }
        self._problems.append(node.problem)
        self._reloads.append(node.use)

        def prepare() -> None:
            left.flush()
            node.beat()

        return node, prepare

    def _judge(self, store: Store, prepare: Callable[[], None], node: Node | Workers | None) -> int:
        """Control, its roll-ups, its pages and its courier; the port of the pages."""
        settings, stack = self._settings, self._stack
        place = settings.data / FILE if settings.control == "sqlite" else settings.control
        state = stack.enter_context(State.open(place, password_file=settings.control_password_file))
        began_s = self._now_ns() // NS
        control = Control(
            inventory=self._inventory,
            rows=store,
            state=state,
            clock=self._now_ns,
            prepare=prepare,
            counters=node.intake if node else lambda: Intake(since_s=began_s),
            url=self._url,
        )
        seen: Callable[[], list[Observed]] = node.observed if node else list
        answers = Answers(control, lambda: unmapped(seen(), control.inventory))
        web = WebServer(answers, _web(settings))
        web_port = web.start()
        stack.callback(web.stop)
        self._deliver(control, state)
        stack.callback(self._stop_delivering)
        control.start()
        stack.callback(control.stop)
        rollups = Rollups(store, self._inventory)
        self._tick("rollup", lambda: control.round and rollups.close(control.watermark), MINUTE_S)
        if node is None:  # who takes traffic is ready to, whatever judging still has to do
            self._problems.append(lambda: _unjudged(control))
        self._parts |= {
            "control": lambda: metrics.of_control(control, control.took_s),
            "outbox": lambda: metrics.of_outbox(state.undelivered()),
            "channels": lambda: metrics.of_channels(self._courier.states() if self._courier else {}),
        }
        self._reloads.insert(0, partial(self._rejudge, control, state, rollups))
        return web_port

    def _tick(self, name: str, do: Callable[[], object], every_s: int) -> None:
        ticker = Ticker(name, do, every_s, self._now_ns)
        ticker.start()
        self._stack.callback(ticker.stop)

    def _tell(self) -> int:
        """Liveness, readiness and metrics; the port."""
        settings = self._settings

        def problem() -> str:
            return next((found for ask in self._problems if (found := ask())), "")

        parts = {"health": lambda: metrics.of_health(problem()), **self._parts}
        page = metrics.Metrics(parts, Repeated(log, "metrics.unreadable", self._now_ns))
        if settings.telemetry_otlp:
            failures = Repeated(log, "telemetry.failed", self._now_ns)
            name = _node(settings.data)
            push = metrics.Push(
                page.registry, settings.telemetry_otlp, settings.telemetry_every_s, name, self._now_ns, failures
            )
            push.start()
            self._stack.callback(push.stop)
        health = Health(settings.health, problem, page.page)
        port = health.start()
        self._stack.callback(health.stop)
        return port

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

    def _rejudge(self, control: Control, state: State, rollups: Rollups, inventory: Inventory) -> None:
        control.use(inventory)
        rollups.inventory = inventory
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


def erased(settings: Settings, column: Column, who: str, *, raw: bool) -> Report:
    """Erase one customer or account from everything in the data directory of a collector that is stopped.

    Args:
        settings: Where everything is.
        column: ``customer`` or ``account``.
        who: Its pseudonym, or its raw id with ``raw``.
        raw: Hash it first, with the key file that OTELCX_KEY_FILE names.

    Raises:
        UserError: There is no key to hash it with, it is no pseudonym, or another process has the directory.
    """
    keys = keys_of_file() if raw else None
    if raw and keys is None:
        raise UserError(f"a raw id needs the key it is hashed with; set {KEY_FILE}, or give the pseudonym itself")
    pseudonym = keys.pseudonym(who) if keys else who
    with ExitStack() as stack:
        store = stack.enter_context(Store(settings.data / "store", settings.chdb))
        place = settings.data / FILE if settings.control == "sqlite" else settings.control
        state = stack.enter_context(State.open(place, password_file=settings.control_password_file))
        report: Report | None = None
        for directory in logs_left_over(settings.data, []) or [settings.data / "log"]:
            with Log(directory, settings.log) as rows:
                one = erase(column, pseudonym, rows, store, state)
                report = one if report is None else replace(report, log=report.log + one.log)
    if report is None:
        raise UserError(f"there is no log below {settings.data}; name the settings of the collector with --config")
    return report


def _nothing() -> None:
    """A role that takes no telemetry has nothing to store before a round."""


def _unjudged(control: Control) -> str:
    return "" if control.round else "the first evaluation is still under way"


def _node(data: Path) -> str:
    """This node's name among the ingest nodes: made once, kept in its data directory."""
    path = data / "node"
    if not path.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
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
