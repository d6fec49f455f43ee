"""Erasing one customer or account: gone from the log, the store and control's state; all others stay."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from incident_builders import facts, of_status
from step_rows import T0, rows_of, step_row, table

from otel_cx_collector.erase import erase, without
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import NS, Fact, FactKind, Grade, fact_batch, to_batch
from otel_cx_collector.incidents.words import Account, Incident, Status
from otel_cx_collector.inventory import parse
from otel_cx_collector.log import Log, LogLimits
from otel_cx_collector.measure.ledger import NOBODY
from otel_cx_collector.rollup import Rollups
from otel_cx_collector.state import Round, State
from otel_cx_collector.store import Store

ANN = "k1." + "a" * 22
BOB = "k1." + "b" * 22
SMALL = LogLimits(max_bytes=1 << 20, segment_bytes=1 << 14, batch_bytes=1 << 16, min_free_bytes=0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(tmp_path / "log", SMALL) as log:
        yield log


def customers(store: Store) -> list[str]:
    return sorted(row.customer for row in rows_of(store.steps("checkout", 0, 2**62, ["production"])))


def harmed(*rows: tuple[str, str]) -> str:
    """A day of harmed customers and their accounts, as it is kept."""
    found = [
        {"customer": who, "segment": "", "account": account, "end": 1, "attempts": 3, "journey": "checkout"}
        for who, account in rows
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, NOBODY.schema) as writer:
        writer.write_table(pa.Table.from_pylist(found, NOBODY.schema))
    return json.dumps({"1": base64.b64encode(sink.getvalue().to_pybytes()).decode()})


def unpacked(text: str) -> list[tuple[str, str]]:
    rows = pa.ipc.open_stream(base64.b64decode(json.loads(text)["1"])).read_all().to_pylist()
    return [(row["customer"], row["account"]) for row in rows]


def test_a_customer_is_gone_from_every_part_and_others_stay(store: Store, log: Log) -> None:
    store.insert_steps(table(step_row(1, customer=ANN), step_row(2, customer=BOB), step_row(3, customer="")))
    store.insert_steps(table(step_row(4, customer=ANN, end=(T0 - 86_400) * NS)))
    store.insert_steps(table(step_row(5, customer="", attempt=ANN, grade=Grade.CUSTOMER)))
    log.append(to_batch([step_row(6, customer=ANN), step_row(7, customer=BOB)]))
    with State.memory() as state:
        report = erase("customer", ANN, log, store, state)
    assert (report.log, report.store) == (1, {"steps": 3, "facts": 0})
    assert customers(store) == ["", BOB]
    left = pa.Table.from_batches([batch for _, batch in log.read(0)])
    assert left["customer"].to_pylist() == [BOB]
    assert f"customer {ANN} is erased" in str(report)
    with State.memory() as state:
        assert erase("customer", ANN, log, store, state).store == {"steps": 0, "facts": 0}


def test_nothing_of_a_customer_is_left_in_the_parts_that_are_read(store: Store) -> None:
    store.insert_steps(table(step_row(1, customer=ANN), step_row(2, customer=BOB)))
    store.erase("customer", ANN)
    parts = store._engine.query("SELECT path FROM system.parts WHERE active AND table = 'steps'")["path"].to_pylist()
    held = [path.read_bytes() for part in parts for path in Path(part).rglob("*") if path.is_file()]
    assert held
    assert not any(ANN.encode() in content for content in held)
    notes = [path.read_text() for path in store._engine.path.rglob("mutation_*.txt")]  # type: ignore[attr-defined] # embedded
    assert notes
    assert not any(ANN in note for note in notes)


def test_an_account_takes_its_facts_along(store: Store, log: Log) -> None:
    store.insert_steps(table(step_row(1, account=ANN), step_row(2, account=BOB)))
    renewals = [
        Fact(name, T0 * NS, FactKind.RENEWAL, account=who, name="Contoso") for name, who in (("1", ANN), ("2", BOB))
    ]
    store.insert_facts(renewals)
    log.append(fact_batch([replace(renewals[0], id="3")]))
    with State.memory() as state:
        report = erase("account", ANN, log, store, state)
    assert (report.log, report.store) == (1, {"steps": 1, "facts": 1})
    assert store.facts(0, 2**62) == [renewals[1]]


def test_roll_ups_keep_their_counts(store: Store, log: Log) -> None:
    file = parse(
        "version: 1\njourneys:\n  checkout:\n    title: Checkout\n    owner: shop\n    criticality: 1\n"
        "    steps: [payment]\n    objectives: [{sli: availability, target: 99%}]\n"
    )
    store.insert_steps(table(step_row(1, customer=ANN, attempt="1"), step_row(2, customer=BOB, attempt="2")))
    rollups = Rollups(store, file)
    rollups.close(T0 + 86_400)
    before = store.rollups("checkout", T0, T0 + 60, 60).to_pylist()
    assert before[0]["active"] == 2
    with State.memory() as state:
        erase("customer", ANN, log, store, state)
    assert rollups.close(T0 + 2 * 86_400) == 0
    assert store.rollups("checkout", T0, T0 + 60, 60).to_pylist() == before


def test_the_working_state_forgets_too_and_its_history_stays_frozen(store: Store, log: Log, tmp_path: Path) -> None:
    accounts = (Account(ANN, "Contoso", 5, 4, "2026-02-01", "48000"), Account(BOB, "Fabrikam", 5, 3, None, None))
    incident = of_status(Status.OPEN, facts=facts(accounts=accounts))
    path = tmp_path / "state" / "control.db"
    with State.open(path) as state:
        _put(state, incident)
        state.keep("ledger/checkout", json.dumps({"60": {"customers": [ANN, BOB], "cause": "payment/timeout"}}))
        state.keep("harmed/checkout", harmed((ANN, ""), (BOB, ANN)))
        report = erase("account", ANN, log, store, state)
        assert report.state == {
            "incidents": 1, "incident_history": 1, "audit": 0, "notices": 0, "records": 0, "kept": 2,
        }  # fmt: skip
        for found in (state.incident(incident.id), *state.versions(incident.id)):
            assert found is not None
            assert found.facts is not None
            assert found.facts.accounts == (Account("erased", None, 5, 4, None, None), accounts[1])
        assert json.loads(state.kept("ledger/checkout") or "")["60"]["customers"] == [BOB]
        assert unpacked(state.kept("harmed/checkout") or "") == [(BOB, "")]
        with pytest.raises(Exception, match="only added to"), state._database.writing() as connection:
            connection.exec_driver_sql("UPDATE incident_history SET body = ''")
    held = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert ANN.encode() not in held
    assert b"Contoso" not in held


def _put(state: State, incident: Incident) -> None:
    state.commit(Round(watermark_s=T0, version=1, blob=b"", incidents=(incident,)))


def test_words_that_people_wrote_are_kept_but_for_the_pseudonym() -> None:
    assert without(ANN, "", f"it is {ANN} again") == "it is erased again"
    assert without(ANN, "", '{"a":  1}') == '{"a":  1}'


@pytest.mark.parametrize("text", ["ann@example.com", "k1.short", "", "%"])
def test_what_is_no_pseudonym_is_refused(store: Store, log: Log, text: str) -> None:
    with State.memory() as state, pytest.raises(UserError, match="is no pseudonym"):
        erase("customer", text, log, store, state)


def test_rows_are_erased_by_customer_or_account_alone(store: Store) -> None:
    with pytest.raises(ValueError, match="'segment'"):
        store.erase("segment", ANN)
