"""Billing's pool and the people at the shop: what the faults make of them, without their processes."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from sqlalchemy import Engine, QueuePool
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from examples.hosting import behaviour
from examples.hosting.everyday import STEPS
from examples.hosting.faults import Faults
from examples.hosting.services.billing import database
from examples.hosting.services.billing.database import CYCLE_S, POOL, Account, Reports
from examples.hosting.services.gateway import SLOW_S


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = database.connect(tmp_path)
    yield engine
    engine.dispose()


def used(engine: Engine) -> int:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


def test_a_busy_pool_leaves_connections_free_all_the_time(tmp_path: Path, engine: Engine) -> None:
    faults = Faults(tmp_path)
    faults.switch("busy-pool")
    wanted = {Reports(engine, faults).wanted(at_s / 10) for at_s in range(100)}
    assert wanted == {17}


def test_a_saturated_pool_has_none_free_for_its_share_of_the_time_and_looks_full_in_between(
    tmp_path: Path, engine: Engine
) -> None:
    faults = Faults(tmp_path)
    faults.switch("saturated-pool", 0.6)
    wanted = [Reports(engine, faults).wanted(at_s / 10) for at_s in range(int(10 * CYCLE_S))]
    assert wanted.count(POOL) == 30
    assert wanted.count(17) == 20


def test_reports_take_connections_and_give_them_back(tmp_path: Path, engine: Engine) -> None:
    reports = Reports(engine, Faults(tmp_path))
    for wanted in (0, 17, POOL, 3, 0):
        reports.hold(wanted)
        assert used(engine) == wanted


def test_reports_do_without_a_connection_that_a_request_has(tmp_path: Path, engine: Engine) -> None:
    reports = Reports(engine, Faults(tmp_path))
    with engine.connect():
        reports.hold(POOL)
    reports.hold(POOL - 1)
    assert used(engine) == POOL - 1


def test_the_metric_counts_what_is_in_use_and_what_is_not(engine: Engine) -> None:
    reader = InMemoryMetricReader()
    database.observe(engine, MeterProvider([reader]))
    with engine.connect(), engine.connect():
        data = reader.get_metrics_data()
    assert data
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    points = [point for point in metric.data.data_points if isinstance(point, NumberDataPoint)]
    states = {str((point.attributes or {})["db.client.connection.state"]): point.value for point in points}
    assert (metric.name, states) == ("db.client.connection.count", {"used": 2, "idle": POOL - 2})


def test_an_error_of_the_database_names_nobody(engine: Engine) -> None:
    with Session(engine) as session:
        session.add_all([Account(id="acct-00017", email="one"), Account(id="acct-00017", email="two")])
        with pytest.raises(IntegrityError) as raised:
            session.flush()
    assert "acct-00017" not in str(raised.value)


def test_about_half_of_the_people_wait_for_a_slow_payment_and_everybody_for_an_ordinary_one() -> None:
    waits = [behaviour.temper(Random(number)).waits_s("checkout", "payment") for number in range(2_000)]
    assert 0.45 < sum(wait_s < SLOW_S for wait_s in waits) / len(waits) < 0.55
    day = STEPS["checkout"]["payment"]
    assert min(waits) > day.slow_s + day.typical_s
