"""``run`` and ``version``: the collector as a process. Not what it is made of (app)."""

import os
import queue
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
import typer

from otel_cx_collector import config, inventory, logbook
from otel_cx_collector.cli.options import INVENTORY, InventoryOption, remarks
from otel_cx_collector.errors import CollectorError, UserError
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.version import VERSION

if TYPE_CHECKING:
    from otel_cx_collector.app import App

SOME: Final = "journeys: {none: {steps: [none]}}"
"""An inventory has at least one journey; what runs without a file has none."""


def run(
    config_file: Annotated[Path | None, typer.Option("--config", help="Settings; every one has a default.")] = None,
    inventory_file: InventoryOption = INVENTORY,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that take telemetry; up to 1: this one does it.")
    ] = 1,
    role: Annotated[
        str | None, typer.Option(help="all, ingest or control; instead of what the settings say.", show_default="all")
    ] = None,
) -> None:
    """Receive OTLP, judge journeys, serve the pages, until SIGINT or SIGTERM; SIGHUP reads the inventory again."""
    from otel_cx_collector.app import App  # seconds of imports that no other command needs

    logbook.configure()
    log = structlog.get_logger("otel_cx_collector")
    settings = config.load(config_file, os.environ) if config_file else config.Settings()
    if role is not None:
        if role not in config.ROLES:
            raise UserError(f"--role {role} is no role; give {', '.join(config.ROLES)}")
        settings = replace(settings, role=role)
    found = _inventory_or_none(inventory_file)
    for sentence in remarks(found):
        log.warning(sentence, inventory=str(inventory_file))
    app = App(settings, found, workers=workers)
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _: asked.put(signum))
    ports = app.start()
    log.info("ready", version=VERSION, grpc=ports.grpc, http=ports.http, web=ports.web, health=ports.health)
    while asked.get() == signal.SIGHUP:
        _reload(app, inventory_file, log)
    log.info("stopping")
    app.stop()


def _reload(app: "App", path: Path, log: Any) -> None:
    """Go on by what the file says now; a mistake in it is told, and the old one stays in force."""
    try:
        found = inventory.load(path)
        app.reload(found)
    except CollectorError as error:
        log.warning("reload.refused", why=str(error), inventory=str(path))
        return
    for sentence in remarks(found):
        log.warning(sentence, inventory=str(path))
    log.info("reloaded", inventory=str(path), journeys=len(found.journeys))


def _inventory_or_none(path: Path) -> Inventory:
    """The inventory; without the default file the collector runs, shows what it sees, and says what to do."""
    if path == INVENTORY and not path.exists():
        sys.stderr.write(
            f"no {INVENTORY} here: nothing is judged yet; traffic is watched, "
            "and `otel-cx-collector init --from-traffic` drafts one from it\n"
        )
        return replace(inventory.parse(SOME), journeys={})
    return inventory.load(path)


def version() -> None:
    """Print the version."""
    typer.echo(VERSION)
