"""The whole demonstration in one command: the collector, the platform that reports to it, and where to look.

python -m examples.hosting.demo
"""

import argparse
import contextlib
import http.client
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from examples.hosting import processes, run
from examples.hosting.history.send import HistoryError
from examples.hosting.processes import Child, ChildError

PORTS: Final = {"web": 8080, "grpc": 4317, "http": 4318, "health": 13133}
START_S: Final = 30

SETTINGS: Final = """\
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
web: {{endpoint: "127.0.0.1:{web}"}}
health: {{endpoint: "127.0.0.1:{health}"}}
data: "{data}"
"""


def check_free(ports: dict[str, int]) -> None:
    """Raise ChildError that names every port somebody else listens on."""
    taken = [f"{port} ({name})" for name, port in ports.items() if not _free(port)]
    if taken:
        raise ChildError(
            f"these ports of 127.0.0.1 are taken: {', '.join(taken)}. Stop what listens there (another demo, an "
            "OpenTelemetry Collector?) or choose others: --web-port, --grpc-port, --http-port, --health-port, "
            "--pager-port"
        )


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def collector(home: Path, ports: dict[str, int], inventory: Path) -> Iterator[Child]:
    """Run the collector with its data in ``home`` until the context is left; `wait_healthy` waits for it."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "collector.yaml"
    config.write_text(SETTINGS.format(**ports, data=home.resolve() / "data"))
    program = Path(sys.executable).with_name("otel-cx-collector")
    mine = run.inventory(home, ports["pager"], inventory)
    command = [str(program), "run", "--inventory", str(mine), "--config", str(config)]
    key = {"OTELCX_KEY_FILE": str(run.key_file(home))}  # the services' own: accounts in facts are those in spans
    child = processes.start("collector", processes.python("examples.hosting.tied", *command), home, key)
    try:
        yield child
    finally:
        child.stop()


def wait_healthy(child: Child, port: int) -> None:
    """Wait until the collector says that it is ready."""
    give_up = time.monotonic() + START_S
    while not healthy(port):
        child.check()
        if time.monotonic() > give_up:
            raise ChildError(f"the collector is not ready after {START_S} s; see {child.log}")
        time.sleep(0.1)


def healthy(port: int) -> bool:
    """Whether the collector's health address answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(argv: list[str]) -> int:
    """Run everything until it is stopped; 1 when something could not start or ended by itself."""
    parser = argparse.ArgumentParser("examples.hosting.demo", description="Run the collector and the example platform.")
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, help="of the collector (default %(default)s)")
    parser.add_argument("--inventory", type=Path, default=run.INVENTORY, help="what to judge by (default %(default)s)")
    run.arguments(parser)
    options = parser.parse_args(argv)
    ports = {name: getattr(options, f"{name}_port") for name in (*PORTS, "pager")}
    until = time.monotonic() + (options.seconds or float("inf"))
    run.stop_on_terminate()
    try:
        demonstrate(options, ports, until)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    except (ChildError, HistoryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def demonstrate(options: argparse.Namespace, ports: dict[str, int], until: float) -> None:
    """Start everything in order, say where it is, and watch over it."""
    check_free(ports)
    settings = run.settings_from(options, f"http://127.0.0.1:{ports['grpc']}", f"http://127.0.0.1:{ports['http']}")
    print("==> starting the collector and the hosting platform, and giving it a day of history", flush=True)
    with (
        collector(options.home, ports, options.inventory) as collecting,
        run.platform(
            settings,
            options.panel_port,
            ports["pager"],
            history=not options.no_history,
            collector_ready=lambda: wait_healthy(collecting, ports["health"]),
        ) as running,
    ):
        print(f"\n  the page        http://127.0.0.1:{ports['web']}/", flush=True)
        run.announce(running)
        print("  stop            Ctrl-C\n", flush=True)
        run.attend(running, until, collecting)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
