"""A short run of bench/overload.py: a real collector offered three times what it can take. Counts, no times."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MORE_MIB = 1_024
"""Bytes in flight (128 MiB), what decoding them takes, what the store takes of its own, and room for a busy machine."""


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    command = [sys.executable, "bench/overload.py", "--json", "--seconds", "3", "--spans", "300", "--steps", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_that_was_acknowledged_is_lost_or_there_twice(figures: dict[str, Any]) -> None:
    assert figures["acknowledged_steps"] > 1_000
    assert figures["lost_steps"] == 0


def test_everything_sent_is_answered_and_refused_retryably_only(figures: dict[str, Any]) -> None:
    assert figures["unanswered"] == 0
    assert set(figures["statuses"]) <= {"200", "503"}


def test_a_client_that_sends_little_is_served_meanwhile(figures: dict[str, Any]) -> None:
    assert figures["small_taken"] > 0
    assert figures["small_refused"] <= figures["small_taken"]


def test_memory_stays_bounded(figures: dict[str, Any]) -> None:
    assert figures["rss_peak_mib"] < figures["rss_before_mib"] + MORE_MIB
