"""Incidents as they are and as they were, and what people did to them. Not what may be done: that is the machine."""

from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from otel_cx_collector.incidents.record import from_json, to_json
from otel_cx_collector.incidents.words import Act, Incident, Status
from otel_cx_collector.state.tables import AUDIT, HISTORY, INCIDENTS, storable
from otel_cx_collector.state.words import Audit, Stale

_NEWEST: Final = (INCIDENTS.c.opened_s.desc(), INCIDENTS.c.id.desc())


def put(connection: Connection, incident: Incident, revision: int | None = None) -> None:
    """Write an incident that is new or changed; writing the same again changes nothing.

    Raises:
        Stale: It lacks an entry of the history that is stored, or ``revision`` is given and is not the stored one.
    """
    text = to_json(incident)
    stored = connection.execute(
        select(INCIDENTS.c.revision, INCIDENTS.c.body).where(INCIDENTS.c.id == incident.id)
    ).first()
    if stored is None:
        connection.execute(insert(INCIDENTS).values(_values(incident, 1, text)))
        _freeze(connection, incident, text)
        return
    before = from_json(stored.body)
    _refuse_stale(before, stored.revision, incident, revision)
    if text == stored.body:
        return
    values = _values(incident, stored.revision + 1, text)
    connection.execute(update(INCIDENTS).where(INCIDENTS.c.id == incident.id).values(values))
    if len(incident.history) > len(before.history):
        _freeze(connection, incident, text)


def act(connection: Connection, incident: Incident, audit: Audit, revision: int | None) -> None:
    """Write what a person did. Raises Stale like put, and when the act adds nothing to the history."""
    before = one(connection, incident.id)
    if before is None:
        raise Stale(f"incident {incident.id!r} is not stored; look at the list of incidents")
    if len(incident.history) <= len(before.history):
        raise Stale(_stale(incident, f"{len(before.history)} entries", f"{len(incident.history)}"))
    put(connection, incident, revision)
    connection.execute(
        insert(AUDIT).values(
            incident=audit.incident,
            at_s=audit.at_s,
            who=storable(audit.who),
            act=audit.act,
            text=storable(audit.text),
            before=audit.before,
            after=audit.after,
        )
    )


def one(connection: Connection, incident_id: str) -> Incident | None:
    """An incident by its id."""
    body = connection.execute(select(INCIDENTS.c.body).where(INCIDENTS.c.id == incident_id)).scalar()
    return None if body is None else from_json(body)


def revision(connection: Connection, incident_id: str) -> int | None:
    """How often an incident was written."""
    return connection.execute(select(INCIDENTS.c.revision).where(INCIDENTS.c.id == incident_id)).scalar()


def latest(connection: Connection, journey: str) -> Incident | None:
    """A journey's newest incident."""
    query = select(INCIDENTS.c.body).where(INCIDENTS.c.journey == journey).order_by(*_NEWEST).limit(1)
    body = connection.execute(query).scalar()
    return None if body is None else from_json(body)


def listed(connection: Connection, *, open_only: bool, limit: int, before_s: int | None) -> list[Incident]:
    """Newest first, opened before ``before_s``."""
    query = select(INCIDENTS.c.body).order_by(*_NEWEST).limit(limit)
    if open_only:
        query = query.where(INCIDENTS.c.ended_s.is_(None))
    if before_s is not None:
        query = query.where(INCIDENTS.c.opened_s < before_s)
    return [from_json(body) for body in connection.execute(query).scalars()]


def versions(connection: Connection, incident_id: str) -> list[Incident]:
    """The incident as it was with each growth of its history, oldest first."""
    query = select(HISTORY.c.body).where(HISTORY.c.incident == incident_id).order_by(HISTORY.c.entries)
    return [from_json(body) for body in connection.execute(query).scalars()]


def audits(connection: Connection, incident_id: str) -> list[Audit]:
    """What people did to an incident, oldest first."""
    query = select(AUDIT).where(AUDIT.c.incident == incident_id).order_by(AUDIT.c.id)
    return [
        Audit(row.incident, row.at_s, row.who, Act(row.act), row.text, Status(row.before), Status(row.after))
        for row in connection.execute(query)
    ]


def _refuse_stale(before: Incident, stored: int, incident: Incident, revision: int | None) -> None:
    if revision is not None and revision != stored:
        raise Stale(_stale(incident, f"revision {stored}", f"{revision}"))
    if incident.history[: len(before.history)] != before.history:
        raise Stale(_stale(incident, "entries in the history", "others"))


def _stale(incident: Incident, stored: str, given: str) -> str:
    return f"incident {incident.id!r} was changed meanwhile: {stored} stored, {given} given; read it again"


def _freeze(connection: Connection, incident: Incident, text: str) -> None:
    connection.execute(insert(HISTORY).values(incident=incident.id, entries=len(incident.history), body=text))


def _values(incident: Incident, revision: int, text: str) -> dict[str, Any]:
    return {
        "id": incident.id,
        "journey": incident.journey,
        "opened_s": incident.opened_s,
        "ended_s": _ended(incident),
        "revision": revision,
        "body": text,
    }


def _ended(incident: Incident) -> int | None:
    """When it was resolved; a person's resolution may come without an end of the harm."""
    if incident.status is not Status.RESOLVED:
        return None
    last = incident.history[-1].at_s if incident.history else incident.opened_s
    return last if incident.closed_s is None else incident.closed_s
