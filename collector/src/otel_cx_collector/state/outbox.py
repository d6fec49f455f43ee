"""Durable notices: which one is due, what became of it. Not the courier that sends them."""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from otel_cx_collector.notify.words import Notice
from otel_cx_collector.state.tables import NOTICES, storable
from otel_cx_collector.state.words import Delivery, DeliveryState, NewNotice

ERROR_CHARS: Final = 1000
"""Of a target's answer that are kept."""

_OPEN: Final = NOTICES.c.ended_s.is_(None)


def add(connection: Connection, notices: tuple[NewNotice, ...]) -> None:
    """Queue what is not there yet by (key, channel); notices of one incident in the order of their sequence."""
    for notice in sorted(notices, key=lambda notice: notice.sequence):
        known = select(NOTICES.c.id).where(NOTICES.c.key == notice.key, NOTICES.c.channel == notice.channel)
        if connection.execute(known).first() is None:
            connection.execute(insert(NOTICES).values(_values(notice)))


def due(connection: Connection, now_s: int, limit: int, channel: str | None) -> list[Notice]:
    """The first undelivered notice of each (channel, incident) whose time has come, oldest first."""
    return [_notice(row) for row in connection.execute(due_query(now_s, limit, channel))]


def due_query(now_s: int, limit: int, channel: str | None) -> Select[Any]:
    """First the heads of the queues, then whether their time has come: one that waits holds back the ones behind."""
    heads = select(func.min(NOTICES.c.id)).where(_OPEN).group_by(NOTICES.c.channel, NOTICES.c.incident)
    if channel is not None:
        heads = heads.where(NOTICES.c.channel == channel)
    return select(NOTICES).where(NOTICES.c.id.in_(heads), NOTICES.c.due_s <= now_s).order_by(NOTICES.c.id).limit(limit)


def waiting(connection: Connection, channel: str, incident: str) -> list[Notice]:
    """Everything undelivered of one incident to one channel, in order."""
    query = select(NOTICES).where(_OPEN, NOTICES.c.channel == channel, NOTICES.c.incident == incident)
    return [_notice(row) for row in connection.execute(query.order_by(NOTICES.c.id))]


def end(connection: Connection, notice_id: int, at_s: int, state: DeliveryState, error: str) -> None:
    """It was tried for the last time. One that has ended stays as it is."""
    _tried(connection, notice_id, state=state, error=_kept(error), ended_s=at_s, tries=NOTICES.c.tries + 1)


def failed(connection: Connection, notice_id: int, error: str, retry_at_s: int) -> None:
    """It was tried in vain and waits for the next try."""
    state = DeliveryState.WAITING
    _tried(connection, notice_id, state=state, error=_kept(error), due_s=retry_at_s, tries=NOTICES.c.tries + 1)


def held(connection: Connection, notice_id: int, until_s: int, why: str) -> None:
    """It was not tried, on purpose."""
    _tried(connection, notice_id, state=DeliveryState.HELD, error=_kept(why), due_s=until_s)


def undelivered(connection: Connection) -> int:
    """Notices that are neither delivered nor refused."""
    return connection.execute(select(func.count()).select_from(NOTICES).where(_OPEN)).scalar_one()


def deliveries(connection: Connection, incident: str | None, limit: int) -> list[Delivery]:
    """What became of an incident's notices, or of all; newest first."""
    query = select(NOTICES).order_by(NOTICES.c.id.desc()).limit(limit)
    if incident is not None:
        query = query.where(NOTICES.c.incident == incident)
    return [_delivery(row) for row in connection.execute(query)]


def _tried(connection: Connection, notice_id: int, **values: Any) -> None:
    connection.execute(update(NOTICES).where(NOTICES.c.id == notice_id, _OPEN).values(values))


def _kept(error: str) -> str:
    """As much as is kept, as text that a database takes: a target may answer with half a character."""
    return storable(error[:ERROR_CHARS])


def _values(notice: NewNotice) -> dict[str, Any]:
    return {
        "channel": notice.channel,
        "key": notice.key,
        "incident": notice.incident,
        "sequence": notice.sequence,
        "what": notice.what,
        "severity": notice.severity,
        "at_s": notice.at_s,
        "group_key": notice.group,
        "body": json.dumps(notice.body, separators=(",", ":")),
        "due_s": notice.due_s,
        "state": DeliveryState.WAITING,
        "tries": 0,
        "error": "",
    }


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        id=row.id,
        key=row.key,
        channel=row.channel,
        incident=row.incident,
        sequence=row.sequence,
        what=row.what,
        severity=row.severity,
        at_s=row.at_s,
        group=row.group_key,
        body=json.loads(row.body),
        tries=row.tries,
        error=row.error,
    )


def _delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.state)
    return Delivery(
        channel=row.channel,
        what=row.what,
        key=row.key,
        at_s=row.at_s,
        state=state,
        tries=row.tries,
        error=row.error,
        delivered_s=row.ended_s if state is DeliveryState.DELIVERED else None,
        incident=row.incident,
    )
