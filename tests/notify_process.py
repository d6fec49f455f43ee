"""A courier over the durable outbox as a process of its own, to be killed. Not a test.

Takes the database's path and a target's address; ``fill`` as third argument queues notices first. Prints ``up`` when
it delivers, and ``done`` when nothing waits any more.
"""

import random
import sys
import time
from pathlib import Path

from notify_targets import NOW, body

from otel_cx_collector.clock import now_ns
from otel_cx_collector.inventory import parse
from otel_cx_collector.notify.courier import Courier
from otel_cx_collector.state import NewNotice, State

INCIDENTS, EACH = 10, 12
INVENTORY = """
journeys: {{checkout: {{steps: [cart]}}}}
notify: {{hook: {{webhook: {{url: "{url}"}}, allow_private: [127.0.0.1]}}}}
"""


def notices() -> list[NewNotice]:
    return [
        NewNotice("hook", f"i{one}:{number}", f"i{one}", number, "opened", "P1", NOW, None, body(), 0)
        for number in range(EACH)
        for one in range(INCIDENTS)
    ]


def main() -> None:
    state = State.open(Path(sys.argv[1]))
    if sys.argv[3:] == ["fill"]:
        state.tell(notices())
    inventory = parse(INVENTORY.format(url=sys.argv[2]), pending=())
    courier = Courier(state, inventory, now_ns, random.random, "https://cx.example")
    courier.start()
    sys.stdout.write("up\n")
    sys.stdout.flush()
    while state.due(1 << 40, 1):
        time.sleep(0.02)
    courier.stop()
    state.close()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
