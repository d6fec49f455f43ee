"""The pages about the command line are true: what they show is run in their order, and printed as they say."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PROGRAM
from fakes_source import FakeSource

from otel_cx_collector.cli import cli
from otel_cx_collector.web import WebServer, WebSettings

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "test-alert-rules.md").read_text()
REFERENCE = (DOCS / "reference" / "cli.md").read_text()


def files(text: str) -> dict[str, str]:
    """Blocks that are named like a file."""
    return dict(re.findall(r"^```\w+ ([\w-]+\.\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def transcripts(text: str) -> list[str]:
    return re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def played(transcript: str, folder: Path, collector: str = "") -> str:
    """The transcript as a shell would show it: one command after the other, each with what it prints."""
    shown, lines = "", transcript.splitlines()
    while lines:
        typed = [lines.pop(0)]
        while lines and lines[0].startswith("> "):
            typed.append(lines.pop(0))
        while lines and not lines[0].startswith("$ "):
            lines.pop(0)
        words = "\n".join(line[2:] for line in typed)
        if collector:
            words = words.replace("otel-cx-collector incidents", f"otel-cx-collector incidents --collector {collector}")
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=folder,
            env=os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "USER": "ana"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        shown += "\n".join(typed) + "\n" + done.stdout
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the how-to, and its recording."""
    folder = tmp_path_factory.mktemp("how-to")
    for name, text in files(HOW_TO).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = WebServer(FakeSource(hostile=False), WebSettings(port=0))
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


def test_the_how_to_of_rules_under_test_does_what_it_says(folder: Path) -> None:
    for transcript in transcripts(HOW_TO):
        assert played(transcript, folder) == transcript
    assert len(transcripts(HOW_TO)) == 4


def test_its_line_for_ci_stops_a_change_that_pages_later(folder: Path) -> None:
    (script,) = re.findall(r"^```sh ci\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
    (folder / "recordings").mkdir()
    shell = (
        "set -e; gzip -c recording.jsonl > recordings/outage.jsonl.gz; cp expected.json recordings/outage.json\n"
        "git() { cat cx.yaml; }\n" + script.replace("/tmp/before.yaml", "before.yaml")  # noqa: S108 - replaced
    )
    env = os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}

    def ended(*lines: str) -> int:
        words = ["bash", "-c", "".join(lines)]
        return subprocess.run(words, cwd=folder, env=env, check=False, capture_output=True).returncode

    assert ended(shell) == 0
    backtest = script[script.index("otel-cx-collector backtest") :].replace("/tmp/before.yaml", "cx.yaml")  # noqa: S108
    assert ended(backtest.replace("--against cx.yaml", "--against new.yaml")) == 1


def test_the_reference_shows_what_commands_print(folder: Path, url: str) -> None:
    for transcript in transcripts(REFERENCE):
        if transcript not in HOW_TO:  # whose own test has run it
            assert played(transcript, folder, url) == transcript


def test_the_reference_has_every_command_and_option() -> None:
    from typer.main import get_command

    group = get_command(cli)
    for name, command in group.commands.items():  # type: ignore[attr-defined] # a group, since there are several
        section = REFERENCE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in parameter.opts:
                assert option in section or not option.startswith("--") or option == "--help", (name, option)
