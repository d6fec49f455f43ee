"""A few rounds of ``kill -9`` of each kind; ``rounds.py`` runs as many as are asked for."""

from pathlib import Path

import pytest
from crash.rounds import Kill, Moment, run


@pytest.mark.timeout(600)  # some twenty starts of processes, on a machine that may be busy
@pytest.mark.parametrize("kills", [[Kill.COLLECTOR], [Kill.STORE, Kill.BOTH]], ids=" ".join)
def test_every_acknowledged_step_is_stored_exactly_once_after_kill_9_of(kills: list[Kill], tmp_path: Path) -> None:
    outcome = run(tmp_path, kills, rounds=len(kills) * len(Moment), seed=5, connections=2)
    assert sorted(outcome.rounds) == sorted((kill, moment) for kill in kills for moment in Moment)
    assert outcome.checks[-1].acknowledged > 0
    assert set(outcome.faults.values()) == {0}, outcome
