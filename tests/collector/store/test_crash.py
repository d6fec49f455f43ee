"""kill -9 of a process that takes, logs and stores rows, levels and facts: what it acknowledged is in the store once.

Real processes, batches of three schemas in one log.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import itertools, os, signal, sys, threading
from pathlib import Path
from otel_cx_collector.events import Fact, FactKind, SignalPoint, fact_batch, signal_batch, to_batch
from otel_cx_collector.log import Log
from otel_cx_collector.store import Flusher, Store, StoreLimits
from step_rows import step_row

what, directory, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
limits = StoreLimits(keep_ns=None, block_ns=20_000_000)
log = Log(directory / "log")
store = Store(directory / "store", limits)

class DiesAfterInsert:
    insert_steps, insert_signals = store.insert_steps, store.insert_signals

    def insert_facts(self, facts):
        store.insert_facts(facts)
        os.kill(os.getpid(), signal.SIGKILL)

def append(numbers):
    for number in numbers:
        log.append(to_batch([step_row(number * 10 + k, attempt=str(number)) for k in range(3)]))
        log.append(signal_batch([SignalPoint("db", "i", str(k), number, k) for k in range(2)]))
        log.append(fact_batch([Fact(str(number), number, FactKind.DEPLOY, service="shop")]))
        os.write(1, b"%d\\n" % number)

if what == "die after insert":
    append(range(first, first + 10))
    Flusher(log, DiesAfterInsert(), limits).start()
elif what == "run":
    Flusher(log, store, limits).start()
    numbers = itertools.count(first)
    for _ in range(3):
        threading.Thread(target=append, args=(numbers,)).start()
else:
    flusher = Flusher(log, store, limits)
    flusher.start()
    assert flusher.stop(60)
    rows = store.steps("checkout", 0, 2**62, ["production"])
    print(*(int.from_bytes(span_id) for span_id in rows["span_id"].to_pylist()))
    print(*store.signals(["db"], 0, 2**62)["at_ns"].to_pylist())
    print(*(fact.id for fact in store.facts(0, 2**62)))
    store.close()
    log.close()
threading.Event().wait(0 if what == "look" else 60)
"""


def program(what: str, directory: Path, first: int = 0) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, str(directory), str(first)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": tests, "PATH": ""},
    )


def stored(directory: Path) -> tuple[list[int], ...]:
    """Numbers of the rows, the levels and the facts."""
    with program("look", directory) as process:
        assert process.stdout is not None
        found = process.stdout.read()
    assert process.returncode == 0
    return tuple(sorted(map(int, line.split())) for line in found.splitlines())


def test_rows_inserted_but_not_marked_when_the_process_died_are_stored_once(tmp_path: Path) -> None:
    for first in (0, 100):
        process = program("die after insert", tmp_path, first)
        process.communicate()
        assert process.returncode == -9
    numbers = [*range(10), *range(100, 110)]
    expected = ([number * 10 + k for number in numbers for k in range(3)], sorted(numbers * 2), numbers)
    assert stored(tmp_path) == expected
    assert stored(tmp_path) == expected


def test_every_acknowledged_row_is_stored_once_after_kill_9(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    for round_ in range(3):
        with program("run", tmp_path, round_ * 1_000_000) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            time.sleep(random.uniform(0, 0.4))
            process.kill()
            said += process.stdout.read()
        acknowledged.update(map(int, said.split(b"\n")[:-1]))
    rows, levels, facts = stored(tmp_path)
    assert len(rows) == len(set(rows))
    assert len(facts) == len(set(facts))
    assert {number * 10 + k for number in acknowledged for k in range(3)} <= set(rows)
    assert acknowledged <= set(facts)
    assert acknowledged <= {number for number in levels if levels.count(number) == 2}
    assert len(acknowledged) >= 3
