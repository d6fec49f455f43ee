"""docs/reference/sdk.md is true: its examples run, its tables are those of the code, its marks are tests that exist."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import otel_cx
from otel_cx import Settings
from otel_cx._diagnostics import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "sdk.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_examples_run_as_they_stand() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(blocks)], check=True, timeout=60)


def test_every_public_name_is_listed_and_no_other() -> None:
    listed = set(
        re.findall(
            r"`(\w+)[`(.]",
            "\n".join(line.split("|")[1] for line in section("Names").splitlines() if line.startswith("|")),
        )
    )
    errors = set(re.findall(r"`(\w+)`", section("Names").partition("`CXError`")[2].splitlines()[0]))
    assert listed | errors == set(otel_cx.__all__)


def test_every_setting_is_listed_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `([^|]+)` \|", section("Settings"), re.MULTILINE)
    assert dict(rows) == {each.name: repr(getattr(Settings(), each.name)) for each in fields(Settings)}


def test_every_reason_is_listed_with_its_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section("What is counted"), re.MULTILINE)
    assert dict(rows) == {reason.value: reason.meaning for reason in Reason}


def test_every_mark_of_the_matrix_is_a_test() -> None:
    marks = re.findall(r"`(test_\w+\.py)::(test_\w+)`", section("Frameworks"))
    assert len(marks) > 30
    for file, name in marks:
        assert f"def {name}(" in (ROOT / "tests" / "sdk" / "instrumentors" / file).read_text(), (file, name)
    for path in re.findall(r"`(tests/[\w/.]+\.py)`", PAGE):
        assert (ROOT / path).exists(), path
