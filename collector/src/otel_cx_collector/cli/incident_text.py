"""Incidents, as the API answers them, for a terminal. Prints what the answer says, nothing more."""

from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

from rich.console import Console
from rich.table import Table

Incident = dict[str, Any]
WIDTH: Final = 1000
"""Wider than any line: ids are copied from it, so nothing is cut or wrapped."""
COLUMNS: Final = ("severity", "journey", "since", "customers", "status", "id")


def listed(found: list[Incident]) -> str:
    """A table, one line an incident."""
    if not found:
        return "no incidents\n"
    table = Table(box=None, pad_edge=False)
    for title in COLUMNS:
        table.add_column(title)
    for one in found:
        table.add_row(_severity(one), one["journey"], one["started_at"], _customers(one), _status(one), one["id"])
    out = StringIO()
    Console(file=out, width=WIDTH, no_color=True, highlight=False, emoji=False, markup=False).print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def done(one: Incident) -> str:
    """Where it stands after an act, as the last line of its history says."""
    last = one["history"][-1]
    noted = f": {last['text']}" if last["text"] else ""
    return f"{one['id']} is {one['status']}; {last['what']} by {last['who']} at {last['at']}{noted}\n"


def shown(one: Incident) -> str:
    """One incident whole."""
    lines = [one["status_line"], "", f"{one['id']}: {_severity(one)}, {_status(one)}"]
    lines += (f"  {line}" for line in _facts(one))
    for title, entries in _lists(one):
        if entries:
            lines += ["", title, *(f"  {entry}" for entry in entries)]
    lines += ["", f"possible: {', '.join(one['possible']) or 'nothing'}"]
    return "\n".join(lines) + "\n"


def _severity(one: Incident) -> str:
    return one["severity"] if one["current"] == one["severity"] else f"{one['current']}, was {one['severity']}"


def _customers(one: Incident) -> str:
    reach = one["reach"]
    return f"{reach['affected']:,} of {reach['active']:,}"


def _status(one: Incident) -> str:
    return f"{one['status']} {one['closed_at']}" if one["closed_at"] else one["status"]


def _facts(one: Incident) -> Iterator[str]:
    trigger = one["trigger"]
    yield f"by {trigger['kind']} {trigger['rule']}: {trigger['sentence']}"
    yield f"hurt since {one['started_at']}, opened {one['opened_at']}, {_customers(one)} customers"
    if one["as_of"]:
        yield f"score {one['score']:.1f}, {one['harm_minutes']:.2f} equivalent minutes as of {one['as_of']}"
        yield one["vector"]
    if one["group"]:
        yield f"one of the group {one['group']}"


def _lists(one: Incident) -> Iterator[tuple[str, list[str]]]:
    yield "by segment", [f"{name}: {_counts(reach)}" for name, reach in one["segments"].items()]
    yield "by region", [f"{name}: {_counts(reach)}" for name, reach in one["regions"].items()]
    yield "equivalent minutes by step", [f"{step}: {minutes:.2f}" for step, minutes in one["by_step"].items()]
    yield "errors", [_error(error) for error in one["errors"]]
    yield "key accounts", [_account(account) for account in one["accounts"]]
    yield "changes", [_linked(f"{change['at']} {change['kind']} {change['what']}", change) for change in one["changes"]]
    yield "saturated", one["saturated"]
    yield "services", one["services"]
    yield "traces", one["traces"]
    yield "action plan", [_advice(advice) for advice in one["advice"]]
    yield "history", [_entry(entry) for entry in one["history"]]


def _counts(reach: dict[str, int]) -> str:
    return f"{reach['affected']:,} of {reach['active']:,}"


def _error(error: dict[str, Any]) -> str:
    cost = f"; costs: {error['consequence']}" if error["consequence"] else ""
    again = "may be tried again" if error["recoverable"] else "is final"
    counts = f"{error['count']:,} for {error['customers']:,} customers"
    return f"{error['class']} at {error['step']}: {counts}, {again}{cost}"


def _account(account: dict[str, Any]) -> str:
    due = f", renewal due {account['renewal_due']}" if account["renewal_due"] else ""
    return f"{account['name'] or account['account']}: {account['failed']:,} of {account['attempts']:,} failed{due}"


def _linked(text: str, about: dict[str, Any]) -> str:
    return f"{text} ({about['link']})" if about["link"] else text


def _advice(advice: dict[str, Any]) -> str:
    when = f", when {advice['when']}" if advice["when"] else ""
    return _linked(f"{'->' if advice['holds'] else '  '} {advice['do']}{when}", advice)


def _entry(entry: dict[str, Any]) -> str:
    return f"{entry['at']} {entry['what']} by {entry['who']}, {entry['severity']}: {entry['text']}"
