"""docs/reference/metrics.md lists exactly what is served, as it is served."""

import re
from pathlib import Path
from typing import NamedTuple

from metrics_scene import collector, open_metrics

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
ROW = re.compile(r"\| `(otelcx_\w+)` \| (\w+) \| (\S+) \| (.+?) \| (.+) \|")
NAME = re.compile(r"\b(?:otelcx_collector|process)_\w+")


class Documented(NamedTuple):
    kind: str
    unit: str
    meaning: str


def documented() -> dict[str, Documented]:
    rows = ROW.findall(PAGE.read_text())
    assert len({row[0] for row in rows}) == len(rows)
    return {name: Documented(kind, unit.replace("-", ""), meaning) for name, kind, unit, _, meaning in rows}


def labels() -> dict[str, set[str]]:
    return {row[0]: set(re.findall(r"`(\w+)`", row[3])) for row in ROW.findall(PAGE.read_text())}


def total(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def test_every_metric_served_is_listed_with_its_type_unit_and_meaning_and_no_other_is(tmp_path: Path) -> None:
    with collector(tmp_path) as made:
        text, _ = made.page(OPEN_METRICS)
    served = {
        total(family.name, family.type): Documented(family.type, family.unit, family.documentation)
        for family in open_metrics(text)
    }
    own = {name: each for name, each in served.items() if name.startswith("otelcx_")}

    assert own == documented()
    assert set(served) - set(own) == set(re.findall(r"`(process_\w+)`", PAGE.read_text()))


def test_every_sample_has_the_labels_that_are_listed(tmp_path: Path) -> None:
    listed = labels()
    with collector(tmp_path) as made:
        made.scene.judge(300)
        found = {name: {label for label, _ in pairs} for name, pairs in made.scrape()}

    for name, used in found.items():
        if not name.startswith("process_"):
            assert used == listed[f"otelcx_collector_{name}"], name


def test_alerts_ask_for_metrics_that_there_are() -> None:
    known = set(documented())
    alerts = PAGE.read_text().partition("## What to alert on")[2]

    asked = set(NAME.findall(alerts))
    assert asked
    assert asked <= known
