"""A few rounds of ``kill -9`` of each kind; ``rounds.py`` runs as many as are asked for."""

from pathlib import Path

import pytest
from crash.rounds import run


@pytest.mark.parametrize("kill", ["collector", "store", "both"])
def test_every_acknowledged_step_is_stored_exactly_once_after_kill_9_of(kill: str, tmp_path: Path) -> None:
    outcome = run(tmp_path, kill, rounds=2, seed=5)
    last = outcome.checks[-1]
    assert outcome.rounds == 2
    assert last.acknowledged > 0
    assert (last.lost, last.twice, last.never_sent) == (set(), set(), set())
