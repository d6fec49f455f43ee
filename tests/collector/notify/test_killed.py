"""Killed while it delivers: everything arrives, in order, at most once more for each time it was killed."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import notify_process
from notify_targets import HttpTarget, answer

KILLS = 2


def test_after_kill_9_every_notice_arrives_with_the_same_key_and_in_order(tmp_path: Path) -> None:
    chance = random.Random(1)
    with HttpTarget(answer(200)) as target:
        for life in range(KILLS + 1):
            start = [sys.executable, notify_process.__file__, str(tmp_path / "control.db"), target.url]
            process = subprocess.Popen([*start, *(["fill"] if life == 0 else [])], stdout=subprocess.PIPE, text=True)
            with process:
                assert process.stdout is not None
                assert process.stdout.readline() == "up\n"
                if life < KILLS:
                    time.sleep(chance.uniform(0.02, 0.2))
                    process.kill()
                else:
                    assert process.stdout.readline() == "done\n"
        keys = [request.headers["otelcx-delivery"] for request in target.requests]

    times = Counter(keys)
    assert set(times) == {notice.key for notice in notify_process.notices()}
    assert max(times.values()) <= 1 + KILLS
    assert len(keys) - len(times) <= KILLS
    for incident in range(notify_process.INCIDENTS):
        numbers = [int(number) for name, _, number in (key.partition(":") for key in keys) if name == f"i{incident}"]
        assert numbers == sorted(numbers)
