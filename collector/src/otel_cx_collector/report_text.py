"""A replay report for people: one table of journeys, then the episodes. Prints what the report says, nothing more."""

from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 120


def as_text(report: dict[str, Any]) -> str:
    """The report as plain text, 120 columns at most."""
    out = StringIO()
    console = Console(file=out, width=WIDTH, no_color=True, highlight=False, emoji=False, markup=False)
    spans = report["spans"]
    refused = {reason: number for reason, number in spans["rejected"].items() if number}
    console.print(f"{report['from']} to {report['to']}")
    console.print(
        f"{spans['received']:,} spans: {spans['steps']:,} steps, {spans['duplicates']:,} duplicates, "
        f"{spans['synthetic']:,} synthetic, refused: {_listed(refused)}"
    )
    console.print(_journeys(report["journeys"]))
    for name, journey in report["journeys"].items():
        for episode in journey["episodes"]:
            until = episode["ended_at"] or "still open"
            console.print(
                f"{name}: {episode['started_at']} to {until}, {episode['harm_minutes']:.2f} equivalent minutes, "
                f"score {episode['score']:.1f}, {episode['vector']}"
            )
    return out.getvalue()


def _listed(refused: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in refused.items()) or "none"


def _journeys(journeys: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("journey")
    for title in ("attempts", "completed", "customers", "affected", "ok", "failed", "rejected", "harm min", "grade"):
        table.add_column(title, justify="right")
    for name, journey in journeys.items():
        steps = journey["steps"].values()
        sums = [sum(step[key] for step in steps) for key in ("ok", "failed", "rejected")]
        table.add_row(
            name,
            f"{journey['attempts']['started']:,}",
            f"{journey['attempts']['completed']:,}",
            f"{journey['customers']['active']:,}",
            f"{journey['customers']['affected']:,}",
            *(f"{number:,}" for number in sums),
            f"{journey['harm_minutes']:.2f}",
            journey["grade"],
        )
    return table
