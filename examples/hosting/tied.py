"""Runs a program that knows nothing of its supervisor, and stops it when the supervisor is gone. Not a supervisor.

python -m examples.hosting.tied PROGRAM ARGUMENTS...
"""

import signal
import subprocess
import sys

from examples.hosting import lifeline


def main(command: list[str]) -> int:
    """Run the program until it ends, or until SIGTERM or the end of our standard input, which stop it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def stop(_signal: int, _frame: object) -> None:
        process.terminate()

    signal.signal(signal.SIGTERM, stop)
    lifeline.end_with_parent()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
