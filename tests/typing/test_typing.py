"""The public API as type checkers see it from a user's program: mypy --strict and pyright in strict mode."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MARK = re.compile(r"\s+# type: ignore\[.*$", re.MULTILINE)
Checker = Callable[[Path], dict[int, str]]
"""Checks one program; answers line number -> message."""


def mypy(program: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--output", "json", "--cache-dir", str(program.parent / "m")]
    said = subprocess.run([*command, program.name], cwd=program.parent, capture_output=True, text=True, check=False)
    assert not said.stderr, said.stderr
    found = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    return {each["line"]: each["message"] for each in found if each["severity"] == "error"}


def pyright(program: Path) -> dict[int, str]:
    project = {"typeCheckingMode": "strict", "include": [program.name], "reportUnnecessaryTypeIgnoreComment": True}
    (program.parent / "pyrightconfig.json").write_text(json.dumps(project))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    said = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert said.stdout, said.stderr
    found = json.loads(said.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found if each["severity"] == "error"}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_right_program_is_accepted(tmp_path: Path, check: Checker) -> None:
    program = tmp_path / "program.py"
    program.write_text((HERE / "accepted.py").read_text())
    assert check(program) == {}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_each_mistake_is_found_and_nothing_else(tmp_path: Path, check: Checker) -> None:
    text = (HERE / "refused.py").read_text()
    marked = {number for number, line in enumerate(text.splitlines(), 1) if MARK.search(line)}
    program = tmp_path / "program.py"
    program.write_text(MARK.sub("", text))
    found = check(program)
    assert set(found) == marked, found
