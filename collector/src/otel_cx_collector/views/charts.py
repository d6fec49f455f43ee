"""Charts as ECharts options in plain JSON: no callbacks, no colours (``--name`` is a token of the page's theme).

The page, a report and a test read the same option. What differs from round to round is cut out by ``delta``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_cx_collector.views import words

if TYPE_CHECKING:
    from otel_cx_collector.measure.figures import Episode, Factors, Series

Option = dict[str, Any]
"""An ECharts option: whatever JSON its documentation allows."""

HATCH: Final[Option] = {
    "symbol": "rect",
    "dashArrayX": [1, 0],
    "dashArrayY": [2, 3],
    "rotation": -0.7854,
    "color": "--hatch",
}
"""Provisional: newer than the last settled slice, never judged."""

TOOLTIP: Final[Option] = {
    "trigger": "axis",
    "renderMode": "richText",
    "confine": True,
    "backgroundColor": "--raised",
    "borderColor": "--line",
    "textStyle": {"color": "--ink", "fontSize": 12},
    "axisPointer": {"type": "line", "lineStyle": {"color": "--muted"}},
}
"""``richText`` is drawn as SVG text: no inline style for the CSP to refuse, and markup in a name stays text."""

AXIS: Final[Option] = {
    "axisLine": {"lineStyle": {"color": "--line"}},
    "axisTick": {"show": False},
    "axisLabel": {"color": "--muted", "fontSize": 11, "hideOverlap": True},
    "splitLine": {"lineStyle": {"color": "--grid"}},
}


def slices(series: Series, episodes: tuple[Episode, ...], target: float | None) -> Option:
    """Success over time above, attempts (harmed and others) below, on one time axis; hatched where provisional."""
    first, last = series.start_s * 1000, (series.start_s + len(series.active) * series.step_s) * 1000
    half = series.step_s * 500
    times = [first + index * series.step_s * 1000 for index in range(len(series.active))]
    success = [None if value is None else round(value * 100, 3) for value in series.success]
    least = min((value for value in success if value is not None), default=100.0)
    floor = floor_of(least, target)
    span = {"min": first - half, "max": last - half}
    others = [active - harmed for active, harmed in zip(series.active, series.harmed, strict=True)]
    return {
        "useUTC": True,
        "animation": False,
        "tooltip": TOOLTIP,
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "grid": [
            {"left": 52, "right": 12, "top": 14, "height": 92},
            {"left": 52, "right": 12, "top": 130, "height": 84},
        ],
        "xAxis": [
            {
                "type": "time",
                "gridIndex": 0,
                **span,
                **AXIS,
                "axisLabel": {"show": False},
                "splitLine": {"show": False},
            },
            {"type": "time", "gridIndex": 1, **span, **AXIS, "splitLine": {"show": False}},
        ],
        "yAxis": [
            {
                **AXIS,
                "gridIndex": 0,
                "min": floor,
                "max": 100,
                "interval": (100 - floor) / 2,
                **_labels("{value} %"),
            },
            {**AXIS, "gridIndex": 1, "min": 0, "minInterval": 1, "splitNumber": 2, **_labels("{value}")},
        ],
        "series": [
            {
                "id": "success",
                "name": "Success %",
                "type": "line",
                "xAxisIndex": 0,
                "yAxisIndex": 0,
                "data": [list(point) for point in zip(times, success, strict=True)],
                "showSymbol": False,
                "connectNulls": False,
                "itemStyle": {"color": "--accent"},
                "lineStyle": {"width": 2},
                "markLine": _target(target),
                "markArea": _areas(series, episodes, half),
            },
            _bars("harmed", "Harmed attempts", "--harm", times, series.harmed, series.provisional),
            _bars("others", "Other attempts", "--quiet", times, others, series.provisional),
        ],
    }


def _labels(formatter: str) -> Option:
    return {"axisLabel": {**AXIS["axisLabel"], "formatter": formatter}}


def floor_of(least: float, target: float | None) -> float:
    """Bottom of a success axis in per cent: the closest of a few round numbers below the data and the target."""
    lowest = min(least, 100 if target is None else target * 100)
    return next((mark for mark in (99.0, 98.0, 95.0, 90.0, 80.0, 50.0) if lowest > mark + (100 - mark) * 0.05), 0.0)


def _target(target: float | None) -> Option:
    """A line at the availability objective; ``data`` is empty without one, so that a delta can take it away."""
    data = [] if target is None else [{"yAxis": round(target * 100, 3)}]
    label = {"formatter": "target {c} %", "position": "insideStartBottom", "color": "--muted", "fontSize": 10}
    return {
        "silent": True,
        "symbol": "none",
        "data": data,
        "label": label,
        "lineStyle": {"color": "--muted", "type": "dashed"},
    }


def _areas(series: Series, episodes: tuple[Episode, ...], half: int) -> Option:
    """Behind the line: episodes tinted, unmeasured steps grey with the word."""
    areas = [
        _area(max(e.start_s, series.start_s) * 1000 - half, e.end_s * 1000 - half, "--harm-tint", "") for e in episodes
    ]
    for start, end in runs(series.measured, wanted=False):
        left, right = ((series.start_s + at * series.step_s) * 1000 - half for at in (start, end))
        areas.append(_area(left, right, "--unmeasured", "unmeasured"))
    return {"silent": True, "data": areas, "label": {"color": "--muted", "fontSize": 10, "position": "insideBottom"}}


def _area(from_ms: int, to_ms: int, color: str, name: str) -> list[Option]:
    return [{"xAxis": from_ms, "name": name, "itemStyle": {"color": color}}, {"xAxis": to_ms}]


def runs(flags: list[bool], *, wanted: bool) -> list[tuple[int, int]]:
    """Half-open index ranges over which the flag is ``wanted``."""
    found: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if flag is not wanted:
            continue
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def _bars(name: str, title: str, color: str, times: list[int], values: list[int], provisional: list[bool]) -> Option:
    return {
        "id": name,
        "name": title,
        "type": "bar",
        "stack": "attempts",
        "xAxisIndex": 1,
        "yAxisIndex": 1,
        "barCategoryGap": "18%",
        "itemStyle": {"color": color},
        "data": [
            {"value": [at, value], "itemStyle": {"color": color, "decal": HATCH}} if hatched else [at, value]
            for at, value, hatched in zip(times, values, provisional, strict=True)
        ],
    }


def factor_rows(factors: Factors) -> list[tuple[str, str, float, float]]:
    """The score's arithmetic by line: (what, how, change in minutes, minutes after). Ends at H before clipping."""
    total = factors.a / factors.n if factors.n else 0.0
    rows = [
        ("Harmed attempts", f"A {words.count(factors.a)} ÷ N {words.significant(factors.n)} a minute", total, total)
    ]
    for what, letter, factor in (
        ("Mean harm", "M", factors.m),
        ("Stage of the step", "G", factors.g),
        ("Segment weight", "V", factors.v),
        ("Criticality", "C", factors.c),
    ):
        rows.append((what, f"× {letter} {words.significant(factor)}", total * factor - total, total * factor))
        total *= factor
    for what, letter, change in (("Missing customers", "+ X", factors.x), ("Everyday failures", "− B", -factors.b)):
        total += change
        rows.append((what, f"{letter} {words.significant(abs(change))}", change, total))
    return rows


def waterfall(factors: Factors, harm_minutes: float) -> Option:
    """From harmed attempts to H, each factor a bar of the minutes it takes or adds."""
    rows = factor_rows(factors)
    names = [f"{what}\n{how}" for what, how, _, _ in rows] + ["H: full outage"]
    starts = [min(after, after - change) for _, _, change, after in rows] + [0.0]
    sizes = [abs(change) for _, _, change, _ in rows] + [harm_minutes]
    colors = ["--harm-soft", *("--harm-soft" if change > 0 else "--quiet" for _, _, change, _ in rows[1:]), "--harm"]
    said = [_signed(change) if index else words.outage_minutes(change) for index, (_, _, change, _) in enumerate(rows)]
    said.append(words.outage_minutes(harm_minutes))
    return {
        "animation": False,
        "grid": {"left": 150, "right": 76, "top": 4, "bottom": 4},
        "xAxis": {"type": "value", "min": 0, **AXIS, "axisLabel": {"show": False}, "axisLine": {"show": False}},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": names,
            **AXIS,
            "axisLabel": {"color": "--muted", "fontSize": 11, "lineHeight": 14},
        },
        "series": [
            {
                "id": "base",
                "type": "bar",
                "stack": "h",
                "silent": True,
                "itemStyle": {"color": "transparent"},
                "data": [round(max(0.0, start), 6) for start in starts],
            },
            {
                "id": "minutes",
                "type": "bar",
                "stack": "h",
                "silent": True,
                "barWidth": "62%",
                "data": [
                    {"value": round(size, 6), "itemStyle": {"color": color}, "label": {"formatter": text}}
                    for size, color, text in zip(sizes, colors, said, strict=True)
                ],
                "label": {"show": True, "position": "right", "color": "--ink", "fontSize": 11},
            },
        ],
    }


def _signed(change: float) -> str:
    return "no change" if abs(change) < 5e-7 else f"{'+' if change > 0 else '−'}{words.outage_minutes(abs(change))}"


def sparkline(values: list[float | None], width: int, height: int, top: float) -> list[str]:
    """Polylines ``x,y x,y`` of a series, one for each run without a gap; ``top`` is the value at the upper edge."""
    step = width / max(1, len(values) - 1)
    points = [
        f"{index * step:.1f},{height - 1 - (height - 2) * min(1.0, (value or 0.0) / top):.1f}"
        for index, value in enumerate(values)
    ]
    known = runs([value is not None for value in values], wanted=True)
    return [" ".join(points[start:end]) for start, end in known]


def delta(old: Option, new: Option) -> Option:
    """What of ``new`` differs from ``old``: whole keys, and of ``series`` only those that changed (matched by id)."""
    changed: Option = {key: value for key, value in new.items() if key != "series" and old.get(key) != value}
    before = {series["id"]: series for series in old.get("series", [])}
    moved = [series for series in new.get("series", []) if before.get(series["id"]) != series]
    if moved:
        changed["series"] = moved
    return changed
