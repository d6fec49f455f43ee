"""The build of the page's files: skipped when nothing changed, clear without npm, carried by wheel and sdist."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

COLLECTOR = Path(__file__).parents[3] / "collector"
WEB = Path("src/otel_cx_collector/web")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", COLLECTOR / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The distribution as an sdist unpacks it: with the built files, without npm's."""
    root = tmp_path / "collector"
    shutil.copytree(COLLECTOR, root, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    return root


def test_nothing_is_done_when_nothing_changed(hook: ModuleType, copy: Path) -> None:
    assert hook.fresh(copy)
    assert hook.build(copy) is False
    assert not (copy / "node_modules").exists()
    assert hook.StaticFilesHook.dependencies(_hook_of(hook, copy)) == []


def _hook_of(hook: ModuleType, root: Path) -> object:
    made = hook.StaticFilesHook.__new__(hook.StaticFilesHook)
    made._BuildHookInterface__root = str(root)
    return made


@pytest.mark.parametrize("file", ["main.ts", "style.css", "../../../package.json", "../../../web_build.mjs"])
def test_a_changed_source_asks_for_node_and_a_build(hook: ModuleType, copy: Path, file: str) -> None:
    with (copy / WEB / file).open("a") as source:
        source.write("\n")
    assert not hook.fresh(copy)
    assert hook.StaticFilesHook.dependencies(_hook_of(hook, copy)) == [hook.NODE]


def test_a_type_error_fails_the_build_and_names_the_line(hook: ModuleType, copy: Path) -> None:
    (copy / "node_modules").symlink_to(COLLECTOR / "node_modules")
    (copy / WEB / "wrong.ts").write_text('export const wrong: number = "text";\n')
    with pytest.raises(hook.BuildError, match=r"wrong\.ts[(:]1[\s\S]*Mend what is named above"):
        hook.build(copy)
    assert not hook.fresh(copy)


def test_npm_out_of_reach_is_said_with_what_to_do(
    hook: ModuleType, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / WEB / "main.ts").write_text("// changed\n")
    settings = {"registry": "http://127.0.0.1:9/", "fetch_retry_mintimeout": "1", "fetch_retry_maxtimeout": "2"}
    for name, value in (settings | {"cache": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    with pytest.raises(hook.BuildError, match=r"npm registry is out of reach[\s\S]*released wheel or sdist"):
        hook.build(copy)


def test_wheel_and_sdist_carry_the_built_page_and_the_wheel_no_sources(copy: Path) -> None:
    environment = os.environ | {"PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((copy / "dist").glob("*.whl"))) as wheel:
        carried = wheel.namelist()
    with tarfile.open(next((copy / "dist").glob("*.tar.gz"))) as sdist:
        packed = [name.partition("/")[2] for name in sdist.getnames()]
    built = {file.name for file in (copy / WEB / "static").iterdir()}
    assert built <= {Path(name).name for name in carried if "/web/static/" in name}
    assert built <= {Path(name).name for name in packed if "/web/static/" in name}
    assert "otel_cx_collector/web/templates/base.html" in carried
    assert not [name for name in carried if name.endswith((".ts", "style.css"))]
    assert {"hatch_build.py", "package-lock.json", f"{WEB.as_posix()}/main.ts"} <= set(packed)


def test_no_registry_is_named_and_every_package_is_pinned() -> None:
    lock = (COLLECTOR / "package-lock.json").read_text()
    assert "http" not in lock
    assert '"resolved"' not in lock
    packages = (COLLECTOR / "package.json").read_text()
    assert re.findall(r'"(?:echarts|axe-core|esbuild|typescript)": "([^"]*)"', packages) == [
        "6.1.0",
        "4.14.1",
        "0.28.2",
        "7.0.2",
    ]
