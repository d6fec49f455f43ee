"""What was judged: the resumable state, verdict records, burn alerts. Not the judging."""

import json
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Row, and_, insert, or_, select, update

from otel_cx_collector.decide.words import Record
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.state.tables import ALERTS, JUDGING, RECORDS
from otel_cx_collector.state.words import Round, Saved, Stale

_RECORD: Final = TypeAdapter(Record)


def load(connection: Connection) -> Saved | None:
    """The state of the last committed round."""
    row = connection.execute(select(JUDGING)).first()
    return None if row is None else Saved(row.watermark_s, row.version, row.blob)


def save(connection: Connection, round_: Round) -> None:
    """Keep where judging stands. Raises Stale for a round older than the one that is kept: time goes one way (1.2)."""
    values = {"watermark_s": round_.watermark_s, "version": round_.version, "blob": round_.blob}
    kept = connection.execute(select(JUDGING.c.watermark_s)).scalar()
    if kept is None:
        connection.execute(insert(JUDGING).values(id=1, **values))
    elif kept > round_.watermark_s:
        raise Stale(f"the round of T {round_.watermark_s} comes after the one of T {kept}; load the state again")
    else:
        connection.execute(update(JUDGING).values(values))


def record(connection: Connection, records: tuple[Record, ...]) -> None:
    """Keep verdicts; the first one of a rule at a T stays."""
    for entry in records:
        key = {"journey": entry.journey, "rule": entry.rule, "at_s": entry.at_s}
        known = select(RECORDS.c.id).where(*(RECORDS.c[name] == value for name, value in key.items()))
        if connection.execute(known).first() is None:
            body = json.dumps(_RECORD.dump_python(entry, mode="json"), separators=(",", ":"))
            connection.execute(insert(RECORDS).values(**key, body=body))


def records(connection: Connection, journey: str, limit: int) -> list[Record]:
    """A journey's verdicts, newest first."""
    query = select(RECORDS.c.body).where(RECORDS.c.journey == journey)
    query = query.order_by(RECORDS.c.at_s.desc(), RECORDS.c.id.desc()).limit(limit)
    return [_RECORD.validate_python(json.loads(body)) for body in connection.execute(query).scalars()]


def alert(connection: Connection, alerts: tuple[BurnAlert, ...]) -> None:
    """Keep alerts that fired or were resolved; a resolved one does not fire again."""
    for entry in alerts:
        known = connection.execute(select(ALERTS.c.id).where(_same(entry))).scalar()
        if known is None:
            connection.execute(insert(ALERTS).values(_values(entry)))
        elif entry.resolved_s is not None:
            connection.execute(update(ALERTS).where(ALERTS.c.id == known).values(ended_s=entry.resolved_s))


def alerts(connection: Connection, journey: str, from_s: int, to_s: int) -> list[BurnAlert]:
    """A journey's alerts that fired at some moment of [from_s, to_s), newest first."""
    query = (
        select(ALERTS)
        .where(ALERTS.c.journey == journey, ALERTS.c.fired_s < to_s)
        .where(or_(ALERTS.c.ended_s.is_(None), ALERTS.c.ended_s > from_s))
        .order_by(ALERTS.c.fired_s.desc(), ALERTS.c.id.desc())
    )
    return [_alert(row) for row in connection.execute(query)]


def _same(alert: BurnAlert) -> ColumnElement[bool]:
    return and_(
        ALERTS.c.journey == alert.journey,
        ALERTS.c.sli == alert.sli,
        ALERTS.c.step == (alert.step or ""),
        ALERTS.c.policy == alert.policy,
        ALERTS.c.fired_s == alert.fired_s,
    )


def _values(alert: BurnAlert) -> dict[str, Any]:
    return {
        "journey": alert.journey,
        "sli": alert.sli,
        "step": alert.step or "",
        "policy": alert.policy,
        "kind": alert.kind,
        "factor": alert.factor,
        "fired_s": alert.fired_s,
        "ended_s": alert.resolved_s,
    }


def _alert(row: Row[Any]) -> BurnAlert:
    return BurnAlert(
        journey=row.journey,
        sli=row.sli,
        step=row.step or None,
        policy=row.policy,
        kind=row.kind,
        factor=row.factor,
        fired_s=row.fired_s,
        resolved_s=row.ended_s,
    )
