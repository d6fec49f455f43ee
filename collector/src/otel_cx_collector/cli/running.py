"""``run`` and ``version``: the collector as a process. Not what it is made of (app)."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from otel_cx_collector import config, inventory
from otel_cx_collector.cli.options import INVENTORY, InventoryOption, remarks
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.version import VERSION

EMPTY: Final = "journeys: {}"


def run(
    config_file: Annotated[Path | None, typer.Option("--config", help="Settings; every one has a default.")] = None,
    inventory_file: InventoryOption = INVENTORY,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that take telemetry; up to 1: this one does it.")
    ] = 1,
) -> None:
    """Receive OTLP, judge journeys, serve the pages, until SIGINT or SIGTERM."""
    from otel_cx_collector.app import App  # seconds of imports that no other command needs

    _log_to_stderr()
    log = structlog.get_logger("otel_cx_collector")
    settings = config.load(config_file, os.environ) if config_file else config.Settings()
    found = _inventory_or_none(inventory_file)
    for sentence in remarks(found):
        log.warning(sentence, inventory=str(inventory_file))
    app = App(settings, found, workers=workers)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ports = app.start()
    log.info("ready", version=VERSION, grpc=ports.grpc, http=ports.http, web=ports.web, health=ports.health)
    stop.wait()
    log.info("stopping")
    app.stop()


def _inventory_or_none(path: Path) -> Inventory:
    """The inventory; without the default file the collector runs, shows what it sees, and says what to do."""
    if path == INVENTORY and not path.exists():
        sys.stderr.write(
            f"no {INVENTORY} here: nothing is judged yet; traffic is watched, "
            "and `otel-cx-collector init --from-traffic` drafts one from it\n"
        )
        return inventory.parse(EMPTY)
    return inventory.load(path)


def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
