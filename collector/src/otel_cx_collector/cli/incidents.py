"""``incidents``: those of a running collector, and what people do to them. Not the machine, which is the server's."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from otel_cx_collector.cli import incident_text
from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.options import COLLECTOR, CollectorOption, Format, safe
from otel_cx_collector.errors import UserError
from otel_cx_collector.measure.report import dump

LISTED: Final = 100
"""The newest, open ones first."""


class Verb(StrEnum):
    """What to do. All but the first two are done to one incident, and kept in its history."""

    LIST = "list"
    SHOW = "show"
    ACKNOWLEDGE = "acknowledge"
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    ANNOTATE = "annotate"


def incidents(
    verb: Annotated[Verb, typer.Argument(metavar="[list|show|acknowledge|mitigate|resolve|reopen|annotate]")] = (
        Verb.LIST
    ),
    incident_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="As list prints it.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="List those that are not resolved.")] = False,
    who: Annotated[str | None, typer.Option(envvar="USER", help="Your name, for the history.")] = None,
    text: Annotated[str, typer.Option(help="A note for the history.")] = "",
    collector: CollectorOption = COLLECTOR,
    output: Annotated[Format, typer.Option("--format")] = Format.TEXT,
) -> None:
    """List and read incidents of a running collector, and act on one."""
    server = Collector(collector)
    if verb is Verb.LIST:
        if incident_id is not None:
            raise UserError(f"list takes no incident, and {incident_id!r} is given; write show {incident_id}")
        found = server.get("/incidents", open=open_only, limit=LISTED)
        _print(found, incident_text.listed, output)
        return
    if incident_id is None:
        raise UserError(f"{verb} needs an incident; `otel-cx-collector incidents list` prints their ids")
    if verb is Verb.SHOW:
        one = server.get(_path(incident_id))
        _print(one, incident_text.shown, output)
        return
    if not who:
        raise UserError(f"nobody is named who wants to {verb} it; say your name with --who")
    done = server.post(f"{_path(incident_id)}/{verb}", {"who": who, "text": text})
    _print(done, incident_text.done, output)


def _path(incident_id: str) -> str:
    return f"/incidents/{quote(incident_id, safe='')}"


def _print(answer: Any, words: Callable[[Any], str], output: Format) -> None:
    typer.echo(dump(answer) if output is Format.JSON else words(safe(answer)), nl=False)
