"""Control's working state: every write one transaction, on the disk before it returns. Not the store of rows.

It does not need the store: with ClickHouse dead, what was decided is still delivered.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from otel_cx_collector.decide.words import Record
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.notify.words import Notice
from otel_cx_collector.state import database, erasure, history, judged, outbox, postgres
from otel_cx_collector.state.database import Database
from otel_cx_collector.state.migrate import migrate
from otel_cx_collector.state.tables import ALERTS, INCIDENTS, KEPT, NOTICES, RECORDS
from otel_cx_collector.state.words import Audit, Delivery, DeliveryState, NewNotice, Retention, Round, Saved

FILE: Final = "control.db"
"""Its usual name in the data directory."""


class State:
    """The judging state, incidents, records, alerts and notices. Thread-safe; it is a ``notify.words.Outbox``.

    Everything raises Unavailable while the database cannot be used (disk full, locked, away, closed: nothing was
    written, try again), and UserError when the operator must act (damaged, not ours to write). A server that went away
    in the middle of a commit may have written it: the next try tells.
    """

    def __init__(self, database: Database, retention: Retention | None = None) -> None:
        self._database = database
        self._retention = retention or Retention()

    @classmethod
    def open(cls, place: Path | str, retention: Retention | None = None, *, password_file: Path | None = None) -> Self:
        """The state in a SQLite file, made when missing, or in a PostgreSQL database; brought up to date when old.

        Args:
            place: The file's path, or ``postgresql://user@host:port/database`` without a password.
            retention: How long what is kept.
            password_file: Holds the password for PostgreSQL; read for each new connection.

        Raises:
            UserError: It cannot be read and written, is no state of ours, or a later version wrote it.
            Unavailable: The server is away.
        """
        opened = database.file(place) if isinstance(place, Path) else postgres.server(place, password_file)
        try:
            if isinstance(place, str):
                postgres.check(opened)
            migrate(opened)
            if isinstance(place, Path):
                opened.write_ahead()
        except BaseException:
            opened.close()
            raise
        return cls(opened, retention)

    @classmethod
    def memory(cls, retention: Retention | None = None) -> Self:
        """A state that ends with the process."""
        opened = database.memory()
        migrate(opened)
        return cls(opened, retention)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database; what is asked afterwards raises Unavailable."""
        self._database.close()

    # The judging state, and the one transaction of a round.

    def load(self) -> Saved | None:
        """Where judging stands; None before the first round."""
        with self._database.reading() as connection:
            return judged.load(connection)

    def commit(self, round_: Round) -> None:
        """Write all that a round changes, or nothing. Committing it again changes nothing.

        Raises:
            Stale: A later round is there, or somebody acted on one of the incidents since the round read it. Nothing
                was written: load the state again, and judge again.
        """
        with self._database.writing() as connection:
            judged.save(connection, round_)
            for incident in round_.incidents:
                history.put(connection, incident)
            judged.record(connection, round_.records)
            judged.alert(connection, round_.alerts)
            outbox.add(connection, round_.notices)

    def tell(self, notices: Sequence[NewNotice]) -> None:
        """Queue notices of no round: those about our own health."""
        with self._database.writing() as connection:
            outbox.add(connection, tuple(notices))

    # Incidents, and what people do to them.

    def incidents(self, *, open_only: bool = False, limit: int = 100, before_s: int | None = None) -> list[Incident]:
        """Newest first; ``open_only``: not resolved; ``before_s``: opened before it, for the next page."""
        with self._database.reading() as connection:
            return history.listed(connection, open_only=open_only, limit=limit, before_s=before_s)

    def incident(self, incident_id: str) -> Incident | None:
        """An incident by its id."""
        with self._database.reading() as connection:
            return history.one(connection, incident_id)

    def latest(self, journey: str) -> Incident | None:
        """A journey's newest incident, open or not."""
        with self._database.reading() as connection:
            return history.latest(connection, journey)

    def revision(self, incident_id: str) -> int | None:
        """Grows with every change of an incident: read it before the incident, and give it to ``act``."""
        with self._database.reading() as connection:
            return history.revision(connection, incident_id)

    def versions(self, incident_id: str) -> list[Incident]:
        """The incident as it was with each growth of its history, oldest first: what was known when."""
        with self._database.reading() as connection:
            return history.versions(connection, incident_id)

    def act(
        self, incident: Incident, audit: Audit, notices: Sequence[NewNotice] = (), *, revision: int | None = None
    ) -> None:
        """Write what a person did: the incident, the line of the audit trail, and what is to be told of it.

        Raises:
            Stale: The incident was changed since it was read: its history holds an entry that ``incident`` lacks, or
                ``revision`` is given and no longer holds. Nothing was written.
        """
        with self._database.writing() as connection:
            history.act(connection, incident, audit, revision)
            outbox.add(connection, tuple(notices))

    def audit(self, incident_id: str) -> list[Audit]:
        """What people did to an incident, oldest first."""
        with self._database.reading() as connection:
            return history.audits(connection, incident_id)

    # What was judged.

    def records(self, journey: str, limit: int = 50) -> list[Record]:
        """A journey's verdicts, newest first."""
        with self._database.reading() as connection:
            return judged.records(connection, journey, limit)

    def alerts(self, journey: str, from_s: int, to_s: int) -> list[BurnAlert]:
        """A journey's burn alerts that fired at some moment of [from_s, to_s), newest first."""
        with self._database.reading() as connection:
            return judged.alerts(connection, journey, from_s, to_s)

    # The outbox, as notify.words.Outbox has it.

    def due(self, now_s: int, limit: int, channel: str | None = None) -> list[Notice]:
        """The first undelivered notice of each (channel, incident), or of one channel's, whose time has come.

        Oldest first. One that waits or is tried again holds back the ones behind it; a refused one does not.
        """
        with self._database.reading() as connection:
            return outbox.due(connection, now_s, limit, channel)

    def waiting(self, channel: str, incident: str) -> list[Notice]:
        """Everything undelivered of one incident to one channel, in order, whether its time has come or not."""
        with self._database.reading() as connection:
            return outbox.waiting(connection, channel, incident)

    def delivered(self, notice_id: int, at_s: int) -> None:
        """It arrived. Here and below, one that has already ended stays as it is."""
        with self._database.writing() as connection:
            outbox.end(connection, notice_id, at_s, DeliveryState.DELIVERED, "")

    def failed(self, notice_id: int, at_s: int, error: str, retry_at_s: int) -> None:  # noqa: ARG002 - the protocol's
        """It did not arrive; it is due again at ``retry_at_s``."""
        with self._database.writing() as connection:
            outbox.failed(connection, notice_id, error, retry_at_s)

    def held(self, notice_id: int, until_s: int, why: str) -> None:
        """Not now: it is due again at ``until_s``, and was not tried."""
        with self._database.writing() as connection:
            outbox.held(connection, notice_id, until_s, why)

    def refused(self, notice_id: int, at_s: int, error: str) -> None:
        """The target will never take it: it is shown, and no longer holds back the ones behind it."""
        with self._database.writing() as connection:
            outbox.end(connection, notice_id, at_s, DeliveryState.REFUSED, error)

    def undelivered(self) -> int:
        """How many notices are neither delivered nor refused."""
        with self._database.reading() as connection:
            return outbox.undelivered(connection)

    def deliveries(self, incident_id: str | None, limit: int = 50) -> list[Delivery]:
        """What became of an incident's notices, or of all; newest first."""
        with self._database.reading() as connection:
            return outbox.deliveries(connection, incident_id, limit)

    # Small things, and the end of old ones.

    def kept(self, name: str) -> str | None:
        """What was kept under a name."""
        with self._database.reading() as connection:
            return connection.execute(select(KEPT.c.text).where(KEPT.c.name == name)).scalar()

    def keep(self, name: str, text: str) -> None:
        """Keep a text under a name, in place of what was there."""
        with self._database.writing() as connection:
            if connection.execute(update(KEPT).where(KEPT.c.name == name).values(text=text)).rowcount == 0:
                connection.execute(insert(KEPT).values(name=name, text=text))

    def erase(self, pseudonym: str, change: Callable[[str, str], str]) -> dict[str, int]:
        """Rewrite every text that may hold a pseudonym, history included; how many were changed, by table.

        ``change`` is given the name under which a text was kept ('' for all others) and the text.
        """
        with self._database.writing() as connection:
            counts = erasure.erase(connection, pseudonym, change)
        self._database.scrub()
        return counts

    def copy(self, path: Path) -> None:
        """Write all of it, as of one moment, into a new file. Raises UserError when it is not in a file of its own."""
        self._database.copy(path)

    def prune(self, now_s: int) -> int:
        """Delete what is older than ``Retention`` says, at most its ``rows`` of each table; how many rows that were."""
        kept = self._retention
        with self._database.writing() as connection:
            return sum(
                _prune(connection, table, column, now_s - age_s, kept.rows)
                for table, column, age_s in (
                    (NOTICES, NOTICES.c.ended_s, kept.notices_s),
                    (RECORDS, RECORDS.c.at_s, kept.records_s),
                    (ALERTS, ALERTS.c.ended_s, kept.alerts_s),
                    (INCIDENTS, INCIDENTS.c.ended_s, kept.incidents_s),
                )
            )


def _prune(connection: Connection, table: Table, column: ColumnElement[int], before_s: int, rows: int) -> int:
    """The oldest first; a row without an end is never old."""
    old = select(table.c.id).where(column < before_s).order_by(column).limit(rows)
    return connection.execute(delete(table).where(table.c.id.in_(old))).rowcount
