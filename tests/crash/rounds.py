"""``kill -9`` again and again under load: ``PYTHONPATH=tests .venv/bin/python -m crash.rounds --kill collector``.

Each round starts what is down, waits for a moment, and kills the collector, the server it stores to, or both. After
``--every`` rounds, and after the last, every step that was acknowledged is looked for in the store. What is killed when
is drawn from ``--seed``; where the processes stand at that moment is the machine's.
"""

import argparse
import itertools
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from crash.scene import Found, Mortal, Scene

CONNECTIONS: Final = 8
"""Of each protocol."""
UPTIME_S: Final = 1.0
"""Longest time from being at work to the kill."""
RECOVERY_S: Final = 1.5
"""Longest time to the kill of a process that has its data open again: it reads the log and sends it to the store."""
OPENING_S: Final = 1.5
"""How long it is expected to take until a process has its data open, before one was seen."""


class Kill(StrEnum):
    """What is killed."""

    COLLECTOR = "collector"
    STORE = "store"
    BOTH = "both"


class Moment(StrEnum):
    """When it is killed."""

    LOAD = "under load"
    START = "while it starts"
    RECOVERY = "while it recovers"


@dataclass
class Outcome:
    """All rounds."""

    rounds: Counter[tuple[Kill, Moment]] = field(default_factory=Counter)
    checks: list[Found] = field(default_factory=list)
    taking_s: list[float] = field(default_factory=list)
    """From each start of the collector until the first request was acknowledged, where that was waited for."""
    storing_s: list[float] = field(default_factory=list)
    """From each start of what was down until rows were stored as well."""
    repeats: int = 0
    odd: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """How much of each thing that must not be; the most that a check found."""
        names = ("lost", "twice", "never_sent")
        found = {name: max((len(getattr(each, name)) for each in self.checks), default=0) for name in names}
        return {**found, "damaged": max((each.damaged for each in self.checks), default=0), "odd": len(self.odd)}

    def __str__(self) -> str:
        rounds = ", ".join(f"{count} {kill} {moment}" for (kill, moment), count in sorted(self.rounds.items()))
        faults = ", ".join(f"{name} {count}" for name, count in self.faults.items())
        last = self.checks[-1]
        return (
            f"{self.rounds.total()} rounds: {rounds}; {len(self.checks)} checks; {self.repeats} requests repeated; "
            f"{last.acknowledged} steps acknowledged, {last.stored} stored; {faults}; "
            f"{sum(each.unfinished for each in self.checks)} stops left rows in the log; "
            f"first acknowledged after {_shown(self.taking_s)}, stored after {_shown(self.storing_s)}"
        )


def _shown(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (longest {max(seconds):.1f})" if seconds else "no start"


@dataclass
class Rounds:
    """What goes on, and what came of it so far.

    Args:
        scene: The processes.
        rng: Draws moments.
        told: Called after each check.
    """

    scene: Scene
    rng: random.Random
    told: Callable[[Outcome], object] = lambda _: None
    outcome: Outcome = field(default_factory=Outcome)
    _opening_s: float = OPENING_S

    def round(self, kill: Kill, moment: Moment) -> None:
        """Start what is down, wait for the moment, kill."""
        victims = self._victims(kill)
        if moment is Moment.LOAD:
            self.start()
            time.sleep(self.rng.uniform(0, UPTIME_S))
        else:
            for each in victims:
                each.kill()
            self._start_what_is_down()
            self._wait_for(moment, victims)
        for each in self.rng.sample(victims, len(victims)):
            each.kill()
        self.outcome.rounds[kill, moment] += 1

    def start(self) -> None:
        """Start what is down, and wait until requests are acknowledged and rows stored."""
        scene, began = self.scene, time.monotonic()
        taking, storing = scene.taking(), scene.storing()
        down = self._start_what_is_down()
        scene.until(taking)
        if scene.collector in down:
            self.outcome.taking_s.append(time.monotonic() - began)
        scene.until(storing)
        self.outcome.storing_s.append(time.monotonic() - began)

    def check(self) -> bool:
        """Look for every step; whether all is as it must be."""
        self.start()
        outcome = self.outcome
        outcome.checks.append(self.scene.check())
        outcome.repeats, outcome.odd = self.scene.clients.repeats, self.scene.clients.odd
        self.told(outcome)
        return not any(outcome.faults.values())

    def _wait_for(self, moment: Moment, victims: Sequence[Mortal]) -> None:
        if moment is Moment.START:
            time.sleep(self.rng.uniform(0, self._opening_s))
            return
        began = time.monotonic()
        self.scene.until(lambda: all(each.opened() for each in victims))
        self._opening_s = time.monotonic() - began  # on this machine, as busy as it is now
        time.sleep(self.rng.uniform(0, RECOVERY_S))

    def _start_what_is_down(self) -> list[Mortal]:
        down = [each for each in self._victims(Kill.BOTH) if not each.runs]
        for each in self.rng.sample(down, len(down)):
            each.start()
        return down

    def _victims(self, kill: Kill) -> list[Mortal]:
        found: list[Mortal] = [] if kill is Kill.STORE else [self.scene.collector]
        if kill is not Kill.COLLECTOR and self.scene.server is not None:
            found.append(self.scene.server)
        return found


def run(
    folder: Path,
    kills: Sequence[Kill],
    rounds: int,
    seed: int,
    *,
    every: int = 25,
    connections: int = CONNECTIONS,
    told: Callable[[Outcome], object] = lambda _: None,
) -> Outcome:
    """So many rounds, or fewer when a check finds what must not be: it is in the outcome."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        scene = Scene(folder, connections, stack, embedded=set(kills) == {Kill.COLLECTOR})
        going_on = Rounds(scene, rng, told)
        for number, (kill, moment) in enumerate(itertools.islice(_turns(kills, rng), rounds), 1):
            going_on.round(kill, moment)
            if (number % every == 0 or number == rounds) and not going_on.check():
                break
    return going_on.outcome


def _turns(kills: Sequence[Kill], rng: random.Random) -> Iterator[tuple[Kill, Moment]]:
    """Each pair once, in any order, then each again."""
    while True:
        yield from rng.sample([*itertools.product(kills, Moment)], len(kills) * len(Moment))


def main() -> int:
    """Run, print what was found after each check; 1 when it is not as it must be, and then the folder is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill", type=Kill, nargs="+", choices=list(Kill), default=[Kill.COLLECTOR])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10_000), help="drawn when not given"
    )
    parser.add_argument("--every", type=int, default=25, help="rounds between two checks")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of each protocol")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="otel-cx-crash-"))
    sys.stdout.write(f"kill {' '.join(asked.kill)}, seed {asked.seed}, in {folder}\n")

    def tell(outcome: Outcome) -> None:
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()

    outcome = run(
        folder, asked.kill, asked.rounds, asked.seed, every=asked.every, connections=asked.connections, told=tell
    )
    if any(outcome.faults.values()):
        sys.stdout.write(f"not as it must be: {outcome.checks[-1]} {outcome.odd}; see {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
