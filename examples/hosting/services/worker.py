"""The worker: builds a site and brings it live, which is where the journey ``deployment`` ends.

Journey, attempt and customer travelled through the queue in the task's headers; nothing here passes them on.
``stuck-queue`` closes the valve between the queue and the worker.
"""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar, Final

from celery import bootsteps, signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor

import otel_cx
from examples.hosting import everyday, lifeline, serving, settings, telemetry
from examples.hosting.everyday import Verdict
from examples.hosting.faults import Faults
from examples.hosting.services import deploy_queue

THREADS: Final = 8
LOOK_S: Final = 0.5
"""How often the valve looks whether it should be closed."""

deployment = otel_cx.journey("deployment", workflow="batch")
_random = Random()


class BuildError(Exception):
    """A site could not be built or switched over."""


@deployment.step("build")
def build(site: str) -> str:
    """Compile a site; the release it made."""
    _work("build")
    return f"{site}@{time.time_ns():x}"


def go_live(release: str) -> None:
    """Switch visitors over to a release: the customer has what they wanted."""
    with deployment.step("go-live"):
        _work("go-live")
        if not release:
            raise BuildError("nothing to switch over to")


@deploy_queue.app.task(name="deployments.deploy")  # type: ignore[untyped-decorator]  # Celery has no types
def deploy(site: str) -> None:
    """Bring a new version of a site live."""
    go_live(build(site))


def _work(step: str) -> None:
    work = everyday.draw("deployment", step, _random)
    time.sleep(work.duration_s)
    if work.verdict is Verdict.FAILED:
        raise BuildError(f"{step} failed")


class Valve(bootsteps.StartStopStep):  # type: ignore[misc]  # likewise
    """Stops consuming while ``stuck-queue`` is on; what was queued meanwhile is worked off afterwards."""

    requires: ClassVar = {"celery.worker.consumer.tasks:Tasks"}
    faults: ClassVar[Faults]

    def __init__(self, _consumer: Any, **_options: Any) -> None:
        self._stopped = threading.Event()

    def start(self, consumer: Any) -> None:
        """Begin watching the faults."""
        threading.Thread(target=self._watch, args=(consumer,), name="valve", daemon=True).start()

    def stop(self, _consumer: Any) -> None:
        """Stop watching."""
        self._stopped.set()

    def _watch(self, consumer: Any) -> None:
        closed = False
        while not self._stopped.wait(LOOK_S):
            wanted = self.faults.share("stuck-queue") > 0
            if wanted == closed:
                continue
            closed = wanted
            turn: Callable[[str], None] = consumer.cancel_task_queue if closed else consumer.add_task_queue
            consumer.call_soon(turn, deploy_queue.DEPLOYMENTS)


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    telemetry.set_up_with_journeys("worker", mine, trust="all")
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # the instrumentation has no types
    _random.seed(mine.seed)
    deploy_queue.connect(mine.home)
    Valve.faults = Faults(mine.home)
    deploy_queue.app.steps["consumer"].add(Valve)
    signals.worker_ready.connect(lambda **_: serving.ready(), weak=False)
    lifeline.end_with_parent()
    options = ["--pool=threads", f"--concurrency={THREADS}", "--loglevel=WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    deploy_queue.app.worker_main(["worker", *options, *quiet])


if __name__ == "__main__":
    main()
