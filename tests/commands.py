"""The installed command as a process of its own. No expectations."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("otel-cx-collector")


def command(
    *words: str | Path, cwd: Path | None = None, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with ``environment`` beside this process's own."""
    return subprocess.run(
        [PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        input=stdin,
        env=os.environ | environment,
    )
