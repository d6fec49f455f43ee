"""Which page, in which state: what a URL says, as one hashable value. Everything a page shows follows from it."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from otel_cx_collector.views.source import BadQuestion


class Kind(StrEnum):
    """The pages there are."""

    OVERVIEW = "overview"
    JOURNEY = "journey"
    INVENTORY = "inventory"
    INCIDENTS = "incidents"
    INCIDENT = "incident"


RANGED = frozenset({Kind.OVERVIEW, Kind.JOURNEY, Kind.INVENTORY})
"""Pages that show a range of time; incidents are shown whole, and always live."""

OPEN = "open"
"""The one value of ``show``."""


@dataclass(frozen=True, slots=True)
class PageKey:
    """One state of one page."""

    kind: Kind
    name: str = ""
    """Of the journey, or the incident's id."""
    range: str | None = None
    """None: live."""
    by: str | None = None
    """Dimensions of the matrix, ``segment,region``."""
    episode_s: int | None = None
    """Start of the episode whose score is taken apart."""
    show: str | None = None
    """``open``: only open incidents."""
    journey: str | None = None
    """Only incidents of this journey."""

    @property
    def path(self) -> str:
        """The page's path."""
        match self.kind:
            case Kind.OVERVIEW:
                return "/"
            case Kind.JOURNEY:
                return f"/journeys/{self.name}"
            case Kind.INCIDENT:
                return f"/incidents/{self.name}"
            case _:
                return f"/{self.kind.value}"

    @property
    def _state(self) -> dict[str, str | int | None]:
        return {"by": self.by, "episode": self.episode_s, "show": self.show, "journey": self.journey}

    def url(self, **changed: str | int | None) -> str:
        """Path and query of this state, or of one that differs in ``changed``."""
        state = {"range": self.range, **self._state} | changed
        query = urlencode({key: value for key, value in state.items() if value is not None}, safe=",")
        return self.path + (f"?{query}" if query else "")

    def events_url(self, seen: str) -> str:
        """Where this state's changes after the frame of the mark ``seen`` are told."""
        said = {"page": self.kind.value, "name": self.name or None, **self._state, "seen": seen}
        return "/events?" + urlencode({key: value for key, value in said.items() if value is not None}, safe=",")


def key_of(kind: Kind, name: str, query: QueryParams) -> PageKey:
    """The state a query means. Raises BadQuestion; a range is checked where it is used."""
    episode = query.get("episode")
    if episode is not None and not (episode.isascii() and episode.isdigit() and len(episode) <= 11):
        raise BadQuestion(f"there is no episode {episode[:40]!r}; follow a link in the list of episodes")
    show = query.get("show") if kind is Kind.INCIDENTS else None
    if show not in {None, OPEN}:
        raise BadQuestion(f"there is no list show={show[:40]!r}; use show=open, or leave it out for all")
    return PageKey(
        kind=kind,
        name=name,
        range=query.get("range") if kind in RANGED else None,
        by=query.get("by") if kind is Kind.JOURNEY else None,
        episode_s=int(episode) if episode and kind is Kind.JOURNEY else None,
        show=show,
        journey=(query.get("journey") or None) if kind is Kind.INCIDENTS else None,
    )
