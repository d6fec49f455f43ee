"""The command line: parses arguments, calls what does the work, prints. Decides nothing.

Exit codes: 0 done, 1 the answer is no (``replay --expect`` differs, ``backtest --fail-on`` found one), 2 something the
user wrote is wrong or what was asked is refused (the reason on stderr, nothing on stdout).
"""

import sys
from typing import Final, NoReturn

import typer

from otel_cx_collector.cli import incidents, judging, keeping, running, writing
from otel_cx_collector.errors import CollectorError

__all__ = ["cli", "main"]

cli: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns tagged OpenTelemetry spans into judged customer journeys.",
)
for command in (
    running.run,
    writing.validate,
    judging.replay,
    judging.backtest,
    judging.explain,
    incidents.incidents,
    writing.init,
    keeping.diff,
    keeping.erase,
    running.version,
):
    cli.command()(command)


def main() -> NoReturn:
    """Run the command line; a user's mistake ends with its reason on stderr and exit code 2."""
    try:
        cli()
    except CollectorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.exit(0)
