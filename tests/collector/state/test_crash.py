"""kill -9 at random moments, and a disk that is full: what was acknowledged is there, and nothing is half."""

import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from otel_cx_collector.decide.words import Record
from otel_cx_collector.incidents.words import Incident
from otel_cx_collector.measure.figures import BurnAlert
from otel_cx_collector.state import NewNotice, Round, State

NURSERY = """
import os, pickle, sys
from dataclasses import replace
from pathlib import Path
from otel_cx_collector.state import State

place, incident, record, alert, notice, round_ = pickle.loads(bytes.fromhex(sys.argv[1]))

def commit():
    with State.open(place) as state:
        saved = state.load()
        number = saved.watermark_s if saved else 0
        while True:
            number += 1
            id = f"i{number}"
            state.commit(replace(
                round_, watermark_s=number, blob=b"%d " % number * 5000,
                incidents=(replace(incident, id=id, opened_s=number),),
                records=tuple(replace(record, rule=rule, at_s=number) for rule in "abc"),
                alerts=(replace(alert, fired_s=number),),
                notices=tuple(
                    replace(notice, channel=channel, key=f"{id}:{tell}", incident=id, sequence=tell, at_s=number)
                    for channel in ("mail", "oncall") for tell in (1, 2)
                ),
            ))
            os.write(1, b"%d\\n" % number)

def deliver():
    with State.open(place) as state:
        while True:
            for each in state.due(1 << 40, 10):
                os.write(1, b"sent %s\\n" % each.key.encode())
                state.delivered(each.id, 1)
                os.write(1, b"done %s\\n" % each.key.encode())

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            {"commit": commit, "deliver": deliver}[line.strip()]()
        finally:
            os._exit(1)
    os.write(1, b"%d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""
"""Imports once, then forks a worker for every line it reads: twenty lives take seconds and not a minute."""


@pytest.fixture
def nursery(
    place: Path | str,
    incident: Callable[..., Incident],
    record: Callable[..., Record],
    alert: Callable[..., BurnAlert],
    notice: Callable[..., NewNotice],
) -> Iterator[subprocess.Popen[bytes]]:
    values = place, incident(), record(), alert(), notice(), Round(0, 1, b"")
    argument = pickle.dumps(values).hex()
    command = [sys.executable, "-c", NURSERY, argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def one_life(nursery: subprocess.Popen[bytes], work: str) -> list[str]:
    """What a worker said until it was killed, at a random moment of its work."""
    worker = begin(nursery, work)
    assert nursery.stdout is not None
    said = [nursery.stdout.readline()]  # it is at work
    time.sleep(random.uniform(0, 0.05))
    return [line.decode().strip() for line in said + end(nursery, worker)]


def begin(nursery: subprocess.Popen[bytes], work: str) -> int:
    """The process id of a worker that has just begun."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"{work}\n".encode())
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def end(nursery: subprocess.Popen[bytes], worker: int) -> list[bytes]:
    """Kill a worker; what it said that was not read yet."""
    assert nursery.stdout is not None
    os.kill(worker, signal.SIGKILL)
    said = [nursery.stdout.readline()]
    while said[-1] != b"dead\n":
        assert said[-1], "the nursery died as well"
        said.append(nursery.stdout.readline())
    return said[:-1]


def forget(place: Path | str) -> None:
    """As if nothing had ever been opened there."""
    if isinstance(place, Path):
        for file in place.parent.iterdir():
            file.unlink()
    else:
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_a_database_whose_maker_was_killed_is_opened_by_the_next(
    place: Path | str, nursery: subprocess.Popen[bytes]
) -> None:
    for _ in range(10 if isinstance(place, Path) else 4):
        worker = begin(nursery, "commit")
        time.sleep(random.uniform(0, 0.08))
        said = end(nursery, worker)
        with State.open(place) as state:
            saved = state.load()
            assert (saved.watermark_s if saved else 0) >= len(said)
        forget(place)


def test_every_acknowledged_round_survives_kill_9_and_none_is_half(
    place: Path | str, nursery: subprocess.Popen[bytes]
) -> None:
    acknowledged: set[int] = set()
    for _ in range(20 if isinstance(place, Path) else 8):
        acknowledged.update(map(int, one_life(nursery, "commit")))
        with State.open(place) as state:
            saved = state.load()
            assert saved is not None
            last = saved.watermark_s
            assert saved.blob == b"%d " % last * 5000
            assert acknowledged <= set(range(1, last + 1))
            assert last <= max(acknowledged) + 1, "at most one that was not acknowledged any more"
            rounds = range(last, 0, -1)
            assert [each.id for each in state.incidents(limit=1 << 20)] == [f"i{number}" for number in rounds]
            assert Counter(each.at_s for each in state.records("checkout", 1 << 20)) == dict.fromkeys(rounds, 3)
            assert [each.fired_s for each in state.alerts("checkout", 0, 1 << 40)] == list(rounds)
            assert Counter(each.at_s for each in state.deliveries(None, 1 << 20)) == dict.fromkeys(rounds, 4)
    assert len(acknowledged) > 8
    if isinstance(place, str):
        return
    with closing(sqlite3.connect(place)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_every_notice_arrives_through_kill_9_in_order_and_at_most_one_a_crash_arrives_twice(
    place: Path | str, nursery: subprocess.Popen[bytes], notice: Callable[..., NewNotice]
) -> None:
    told = [
        notice(key=f"{incident}:{number}", incident=incident, sequence=number)
        for number in range(40)
        for incident in "abcd"
    ]
    with State.open(place) as state:
        state.commit(Round(1, 1, b"", notices=tuple(told)))
    sent: list[str] = []
    lives = 0
    while True:
        with State.open(place) as state:
            if state.undelivered() == 0:
                break
        said = one_life(nursery, "deliver")
        lives += 1
        sent += [line.removeprefix("sent ") for line in said if line.startswith("sent")]
        done = {line.removeprefix("done ") for line in said if line.startswith("done")}
        with State.open(place) as state:
            assert done <= {each.key for each in state.deliveries(None, 1 << 20) if each.delivered_s is not None}
    assert set(sent) == {each.key for each in told}
    assert len(sent) - len(told) <= lives
    first = list(dict.fromkeys(sent))
    for incident in "abcd":
        assert [key for key in first if key.startswith(incident)] == [f"{incident}:{number}" for number in range(40)]


def test_a_notice_whose_courier_died_before_it_said_so_is_due_again_with_the_same_key(
    place: Path | str, notice: Callable[..., NewNotice], t0: int
) -> None:
    courier = "import sys, time; from pathlib import Path; from otel_cx_collector.state import State\n"
    courier += "place = sys.argv[1]\n"
    courier += "state = State.open(place if '://' in place else Path(place))\n"
    courier += "print(state.due(1 << 40, 1)[0].key, flush=True); time.sleep(600)"
    with State.open(place) as state:
        state.commit(Round(1, 1, b"", notices=(notice(),)))
        before = state.due(t0, 1)
        with subprocess.Popen([sys.executable, "-c", courier, str(place)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            sent = process.stdout.readline().decode().strip()
            process.kill()
        assert state.due(t0, 1) == before
        assert before[0].key == sent


FULL = """
import resource, sys
from pathlib import Path
from otel_cx_collector.errors import Unavailable
from otel_cx_collector.state import Round, State

with State.open(Path(sys.argv[1])) as state:
    state.commit(Round(1, 1, b"x"))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, unlimited[1]))
    number, told = 1, ""
    while not told:
        try:
            state.commit(Round(number + 1, 1, b"x" * 50_000 * number))
            number += 1
        except Unavailable as error:
            told = str(error)
    assert state.load().watermark_s == number, state.load().watermark_s
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    state.commit(Round(number + 1, 1, b"x" * 2_000_000))
    print(number + 1, told)
"""


def test_a_full_disk_refuses_the_round_and_goes_on_by_itself(path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    number, told = ran.stdout.split(" ", 1)
    assert int(number) > 2
    assert told.startswith(f"{path} cannot be used: ")
    assert "the next try may succeed" in told
    with State.open(path) as state:
        saved = state.load()
        assert saved is not None
        assert (saved.watermark_s, len(saved.blob)) == (int(number), 2_000_000)
