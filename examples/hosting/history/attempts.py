"""Made attempts: one person's way through a journey, step by step, as the live platform would have recorded it.

Not spans yet, which is `spans`. Everything follows from the journey, the minute and the attempt's number in it, so
that making the same minute twice makes the same attempts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Final, NamedTuple

from examples.hosting import behaviour, everyday, people
from examples.hosting.everyday import ATTEMPTS_A_MINUTE, STEPS, Verdict
from examples.hosting.history import calendar
from examples.hosting.history.calendar import Mishap
from examples.hosting.people import Customer

NS: Final = 1_000_000_000
OVERHEAD_S: Final = 0.004
"""What HTTP, instrumentation and database add to a live step's work."""
A_HOP_S: Final = 0.02
"""What a call to the gateway or a write to the queue adds to that."""
HOPS: Final = {("checkout", "payment"), ("deployment", "submit")}
HANDED_ON_S: Final = 0.2
"""What a deployment waits in the queue: the worker asks a few times a second."""


class Execution(NamedTuple):
    """One execution of one step."""

    journey: str
    step: str
    attempt: str
    who: Customer
    start_ns: int
    end_ns: int
    verdict: Verdict
    trace_id: bytes
    span_id: bytes


@dataclass(slots=True)
class Walk:
    """One person walking through one journey."""

    journey: str
    who: Customer
    random: Random
    mishaps: Iterable[Mishap]
    attempt: str
    now_s: float

    def executions(self) -> Iterator[Execution]:
        """Every step they took, in order, until they were done or left."""
        temper = behaviour.temper(self.random)
        for step in STEPS[self.journey]:
            tries = 1
            while (taken := self._take(step)).verdict is Verdict.FAILED:
                yield taken
                if not temper.tries_again(tries):
                    return
                tries += 1
                self.now_s += temper.think_s()
            yield taken
            if taken.verdict is Verdict.REJECTED or not temper.goes_on(self.journey, step):
                return
            self.now_s += HANDED_ON_S if self.journey == "deployment" else temper.think_s()
        if self.journey == "deployment":
            yield self._watched(taken)

    def _take(self, step: str) -> Execution:
        work = everyday.draw(self.journey, step, self.random)
        goes_wrong = any(mishap.hits(step, self.who.region, self.random) for mishap in self.mishaps)
        duration_s = work.duration_s + OVERHEAD_S + (A_HOP_S if (self.journey, step) in HOPS else 0)
        return self._did(step, duration_s, Verdict.FAILED if goes_wrong else work.verdict)

    def _watched(self, live: Execution) -> Execution:
        """What the customer saw of a deployment: they come to look while it is being built, until it is live."""
        began_s = self.now_s = live.start_ns / NS - self.random.lognormvariate(log(0.5), 0.8)
        return self._did("progress", live.end_ns / NS - began_s + self.random.random() / 2, Verdict.OK)

    def _did(self, step: str, duration_s: float, verdict: Verdict) -> Execution:
        """Let time pass and record what was done in it."""
        start_ns = int(self.now_s * NS)
        self.now_s += duration_s
        end_ns = start_ns + int(duration_s * NS)
        trace_id, span_id = self.random.randbytes(16), self.random.randbytes(8)
        return Execution(self.journey, step, self.attempt, self.who, start_ns, end_ns, verdict, trace_id, span_id)


def poisson(mean: float, random: Random) -> int:
    """Draw how many came in a minute (Knuth's method; means here are below 500)."""
    count, product, floor = 0, random.random(), exp(-mean)
    while product > floor:
        count += 1
        product *= random.random()
    return count


def minute(journey: str, minute_s: int, now_s: float, rate: float) -> Iterator[list[Execution]]:
    """The attempts at a journey that began in one minute of the past, seen from ``now_s``."""
    age_s = now_s - minute_s
    mishaps = calendar.mishaps(journey, age_s)
    random = Random(f"{journey} {minute_s}")
    count = poisson(ATTEMPTS_A_MINUTE[journey] * rate * calendar.busy(age_s), Random(f"how many {journey} {minute_s}"))
    for number in range(count):
        who = people.customer(minute_s * 1_000 + number if journey == "signup" else random.randrange(people.CUSTOMERS))
        attempt = f"{random.getrandbits(64):016x}"
        yield list(Walk(journey, who, random, mishaps, attempt, minute_s + random.random() * 60).executions())
