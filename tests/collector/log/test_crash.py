"""kill -9 under load: whatever was acknowledged is there afterwards. Real processes, real files."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from otel_cx_collector.log import Log

WRITER = """
import itertools, os, sys, threading
from pathlib import Path
import pyarrow as pa
from otel_cx_collector.log import Log, LogLimits

limits = LogLimits(max_bytes=1 << 30, segment_bytes=1 << 16, batch_bytes=1 << 20, min_free_bytes=0)
log = Log(Path(sys.argv[1]), limits)
numbers = itertools.count(int(sys.argv[2]))

def append():
    while True:
        number = next(numbers)
        log.append(pa.RecordBatch.from_pydict({"id": pa.array([number] * (number % 50 + 1), pa.int64())}))
        os.write(1, b"%d\\n" % number)

for _ in range(4):
    threading.Thread(target=append).start()
"""


def test_every_acknowledged_batch_survives_kill_9(directory: Path, ids: Callable[..., list[int]]) -> None:
    acknowledged: set[int] = set()
    for round_ in range(5):
        command = [sys.executable, "-c", WRITER, str(directory), str(round_ * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            said = writer.stdout.readline()  # it is at work
            time.sleep(random.uniform(0, 0.2))
            writer.kill()
            said += writer.stdout.read()
        acknowledged.update(map(int, said.split(b"\n")[:-1]))
        with Log(directory) as log:
            found = set(ids(log))
            assert log.damage == ()
        assert acknowledged <= found
    assert len(acknowledged) > 100
