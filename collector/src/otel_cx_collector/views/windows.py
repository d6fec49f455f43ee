"""The time ranges a page or an answer may cover, and how each is cut into steps. Not a clock: T is an argument."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from otel_cx_collector.views.source import BadQuestion, Source

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S


class Range(StrEnum):
    """What a viewer can pick."""

    M15 = "15m"
    H1 = "1h"
    H6 = "6h"
    H24 = "24h"
    D7 = "7d"
    D30 = "30d"


LIVE: Final = Range.H1
"""What is shown until a range is picked."""

LENGTH_S: Final[dict[Range, int]] = {
    Range.M15: 900,
    Range.H1: HOUR_S,
    Range.H6: 6 * HOUR_S,
    Range.H24: DAY_S,
    Range.D7: 7 * DAY_S,
    Range.D30: 30 * DAY_S,
}

STEP_S: Final[dict[Range, int]] = {
    Range.M15: 10,
    Range.H1: 30,
    Range.H6: 300,
    Range.H24: 900,
    Range.D7: 2 * HOUR_S,
    Range.D30: 6 * HOUR_S,
}
"""Step of a series: whole slices, 72 to 120 of them, so that a chart stays legible and its table readable."""

IN_WORDS: Final[dict[Range, str]] = {
    Range.M15: "15 minutes",
    Range.H1: "hour",
    Range.H6: "6 hours",
    Range.H24: "24 hours",
    Range.D7: "7 days",
    Range.D30: "30 days",
}


@dataclass(frozen=True, slots=True)
class Window:
    """``[from_s, to_s)`` ends at the watermark: it is settled. A series goes on to ``now_s``, provisionally."""

    range: Range
    live: bool
    """No range was picked: the window moves with the watermark."""
    from_s: int
    to_s: int
    now_s: int
    step_s: int

    @property
    def series_from_s(self) -> int:
        """Start of the series, on a step boundary."""
        return self.series_to_s - LENGTH_S[self.range]

    @property
    def series_to_s(self) -> int:
        """End of the series, on the first step boundary not before now."""
        return -(-self.now_s // self.step_s) * self.step_s


def window(source: Source, picked: str | None) -> Window:
    """The window of a picked range, or the live one. Raises BadQuestion for a range there is not."""
    if picked is not None and picked not in list(Range):
        raise BadQuestion(f"there is no range {picked[:40]!r}; use one of {', '.join(Range)}")
    chosen = LIVE if picked is None else Range(picked)
    to_s = source.watermark_s()
    return Window(
        range=chosen,
        live=picked is None,
        from_s=to_s - LENGTH_S[chosen],
        to_s=to_s,
        now_s=max(source.now_s(), to_s),
        step_s=STEP_S[chosen],
    )
