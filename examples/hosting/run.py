"""The supervisor: starts the platform, gives it a past, lets people in, and stops it all. Not the collector.

python -m examples.hosting.run --collector-endpoint http://127.0.0.1:4317
"""

import argparse
import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from examples.hosting import facts, pager, processes
from examples.hosting.covered import Covered
from examples.hosting.faults import Faults
from examples.hosting.history import calendar
from examples.hosting.history.send import HistoryError, executions, send
from examples.hosting.processes import Child, ChildError
from examples.hosting.settings import BAD_RELEASE, HOME, STABLE_RELEASE, Settings
from otel_cx.pseudonym import Keyring

SERVICES: Final = {
    "gateway": "examples.hosting.services.gateway",
    "helpdesk": "examples.hosting.services.helpdesk",
    "billing": "examples.hosting.services.billing.app",
    "worker": "examples.hosting.services.worker",
    "panel": "examples.hosting.services.panel.app",
    "pager": "examples.hosting.pager",
}
TRAFFIC: Final = "examples.hosting.traffic.generator"
INVENTORY: Final = Path(__file__).with_name("cx.yaml")
PAGER_PORT: Final = 8090
PAGER: Final = f"http://127.0.0.1:{PAGER_PORT}/"
"""Where `INVENTORY` looks for the pager; `inventory` writes a copy for another port or directory."""
LOOK_S: Final = 0.5
REMEMBER_S: Final = 10
"""How often the supervisor notes that live traffic is going on."""


class Platform:
    """The company's running processes."""

    def __init__(
        self, settings: Settings, sockets: dict[str, socket.socket], say: Callable[[str], None] = print
    ) -> None:
        self.settings = settings
        self.pager = processes.address(sockets["pager"])
        self._say = say
        self._sockets = sockets
        self._environment = {"OTELCX_KEY_FILE": str(key_file(settings.home)), **settings.environment()}
        self.children: dict[str, Child] = {}

    def start(self) -> None:
        """Start every service; `ready` waits for them."""
        for name in SERVICES:
            self.children[name] = self._service(name, STABLE_RELEASE)

    def ready(self) -> None:
        """Wait until every service serves."""
        processes.wait_ready(list(self.children.values()))

    def let_people_in(self) -> None:
        """Start the traffic."""
        home = self.settings.home
        self.children["traffic"] = processes.start("traffic", processes.python(TRAFFIC), home, self._environment)
        self.ready()

    def deploy(self, release: str) -> None:
        """Roll another release of the control panel out; the new one takes over before the old one goes."""
        old, self.children["panel"] = self.children["panel"], self._service("panel", release)
        self.settings = replace(self.settings, release=release)
        try:
            self.ready()
            self.tell([facts.deploy("control-panel", release, time.time())])
        finally:
            old.stop()

    def tell(self, told: list[facts.Fact]) -> None:
        """Tell the collector what no span says."""
        facts.post(self.settings.collector_http, told, self._say)

    def watch(self) -> None:
        """Raise ChildError when a child has ended; deploy what ``bad-deploy`` asks for."""
        for child in self.children.values():
            child.check()
        wanted = BAD_RELEASE if Faults(self.settings.home).share("bad-deploy") else STABLE_RELEASE
        if wanted != self.settings.release:
            self.deploy(wanted)

    def stop(self) -> None:
        """Stop the people first, then what they used, all at once."""
        if people := self.children.pop("traffic", None):
            people.stop()
        for child in self.children.values():
            child.ask_to_stop()
        for child in self.children.values():
            child.wait()

    def _service(self, name: str, release: str) -> Child:
        environment = {**self._environment, **replace(self.settings, release=release).environment()}
        return processes.start(
            name, processes.python(SERVICES[name]), self.settings.home, environment, self._sockets.get(name)
        )


def key_file(home: Path) -> Path:
    """The key of the platform's pseudonyms, made once: another key would make other customers of the same people."""
    path = home / "otelcx.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"demo:{secrets.token_urlsafe(32)}\n")
    return path


def inventory(home: Path, pager_port: int, file: Path = INVENTORY) -> Path:
    """The inventory as the collector is to read it in this run: with the pager's own address and secret."""
    text = file.read_text().replace(PAGER, f"http://127.0.0.1:{pager_port}/")
    text = text.replace(str(HOME / pager.SECRET_FILE), str(pager.secret_file(home).resolve()))
    path = home / "cx.yaml"
    path.write_text(text)
    return path


def fill_the_past(settings: Settings, say: Callable[[str], None]) -> None:
    """Send history for the stretches of the last day that have none yet."""
    now_s = time.time()
    covered = Covered(settings.home / "covered.json")
    keys = Keyring.parse(key_file(settings.home).read_text())
    for from_s, until_s in covered.gaps(now_s - calendar.LENGTH_S, now_s):
        began = time.monotonic()
        sent = send(settings.collector, keys, executions(from_s, until_s, now_s, settings.rate))
        covered.add(from_s, until_s)
        took_s = time.monotonic() - began
        if took_s > 0.5:
            hours = (until_s - from_s) / 3600
            say(f"{hours:.1f} h of history: {sent.spans:,} spans in {sent.requests} requests, {took_s:.1f} s")
        if sent.rejected:
            say(f"the collector refused {sent.rejected:,} of these spans: {sent.message}")


@contextlib.contextmanager
def platform(
    settings: Settings,
    panel_port: int,
    pager_port: int,
    *,
    history: bool,
    collector_ready: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = print,
) -> Iterator[Platform]:
    """The platform with people on it, until the context is left; services start while the collector does."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        ports = {"panel": panel_port, "pager": pager_port, "billing": 0, "gateway": 0, "helpdesk": 0}
        sockets = {name: stack.enter_context(processes.listen(port)) for name, port in ports.items()}
        at = {name: processes.address(listening) for name, listening in sockets.items()}
        settings = replace(
            settings, panel=at["panel"], billing=at["billing"], gateway=at["gateway"], helpdesk=at["helpdesk"]
        )
        running = Platform(settings, sockets, say)
        stack.callback(running.stop)
        running.start()
        collector_ready()
        if history:
            fill_the_past(running.settings, say)
        running.ready()
        running.tell(facts.renewals(time.time()))
        running.let_people_in()
        if history:  # what has passed meanwhile
            fill_the_past(running.settings, say)
        yield running


def attend(running: Platform, until: float, *others: Child) -> None:
    """Watch over the platform, and over other children, until the monotonic clock says ``until``."""
    covered = Covered(running.settings.home / "covered.json")
    since_s = noted_s = time.time()
    try:
        while time.monotonic() < until:
            time.sleep(LOOK_S)
            running.watch()
            for child in others:
                child.check()
            if time.time() - noted_s > REMEMBER_S:
                noted_s = time.time()
                covered.add(since_s, noted_s)
    finally:
        covered.add(since_s, time.time())


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options that the supervisor and the demo have in common."""
    parser.add_argument("--home", type=Path, default=HOME, help="directory of everything written (default %(default)s)")
    parser.add_argument("--for", type=float, default=None, dest="seconds", metavar="SECONDS", help="stop by itself")
    parser.add_argument("--no-history", action="store_true", help="begin without a past")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies the traffic (default 1: 240 checkouts/min)")
    parser.add_argument("--seed", type=int, default=None, help="make the traffic's choices repeatable")
    parser.add_argument("--panel-port", type=int, default=0, help="port of the control panel (default: any free)")
    parser.add_argument("--pager-port", type=int, default=PAGER_PORT, help="port of the pager (default %(default)s)")


def settings_from(options: argparse.Namespace, collector: str, collector_http: str) -> Settings:
    """Settings as the command line says; addresses are filled in when the sockets are open."""
    return Settings(
        home=options.home,
        collector=collector,
        collector_http=collector_http,
        panel="",
        billing="",
        gateway="",
        helpdesk="",
        release=STABLE_RELEASE,
        rate=options.rate,
        seed=options.seed,
    )


def announce(running: Platform) -> None:
    """Say where the platform is and how it is broken."""
    broken = ", ".join(Faults(running.settings.home).on())
    print(
        f"  control panel   {running.settings.panel}\n"
        f"  break it        {running.settings.panel}/faults\n"
        f"  the pager       {running.pager}/\n"
        f"  or by command   python -m examples.hosting.faults payment-errors on --share 0.4\n"
        f"                  python -m examples.hosting.faults off all\n"
        f"  logs            {running.settings.home / 'logs'}" + (f"\n  still broken    {broken}" if broken else ""),
        flush=True,
    )


def stop_on_terminate() -> None:
    """Leave by way of every ``finally`` on SIGTERM, as on Ctrl-C."""

    def leave(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def main(argv: list[str]) -> int:
    """Run the platform until it is stopped; 1 when something of it ended by itself."""
    parser = argparse.ArgumentParser("examples.hosting.run", description="Run the example platform.")
    parser.add_argument("--collector-endpoint", default="http://127.0.0.1:4317", help="OTLP/gRPC (%(default)s)")
    parser.add_argument(
        "--collector-http", default="http://127.0.0.1:4318", help="for facts; '' for none (%(default)s)"
    )
    arguments(parser)
    options = parser.parse_args(argv)
    stop_on_terminate()
    until = time.monotonic() + (options.seconds or float("inf"))
    settings = settings_from(options, options.collector_endpoint, options.collector_http)
    try:
        with platform(settings, options.panel_port, options.pager_port, history=not options.no_history) as running:
            announce(running)
            attend(running, until)
    except KeyboardInterrupt:
        return 0
    except (ChildError, HistoryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
