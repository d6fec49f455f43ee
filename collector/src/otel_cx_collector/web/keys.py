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


@dataclass(frozen=True, slots=True)
class PageKey:
    """One state of one page."""

    kind: Kind
    name: str = ""
    range: str | None = None
    """None: live."""
    by: str | None = None
    """Dimensions of the matrix, ``segment,region``."""
    episode_s: int | None = None
    """Start of the episode whose score is taken apart."""

    @property
    def path(self) -> str:
        """The page's path."""
        return {Kind.OVERVIEW: "/", Kind.INVENTORY: "/inventory", Kind.JOURNEY: f"/journeys/{self.name}"}[self.kind]

    def url(self, **changed: str | int | None) -> str:
        """Path and query of this state, or of one that differs in ``changed``."""
        state = {"range": self.range, "by": self.by, "episode": self.episode_s} | changed
        query = urlencode({key: value for key, value in state.items() if value is not None}, safe=",")
        return self.path + (f"?{query}" if query else "")

    def events_url(self, seen: str) -> str:
        """Where this state's changes after the frame of the mark ``seen`` are told."""
        said = {
            "page": self.kind.value,
            "name": self.name or None,
            "by": self.by,
            "episode": self.episode_s,
            "seen": seen,
        }
        return "/events?" + urlencode({key: value for key, value in said.items() if value is not None}, safe=",")


def key_of(kind: Kind, name: str, query: QueryParams) -> PageKey:
    """The state a query means. Raises BadQuestion; a range is checked where it is used."""
    episode = query.get("episode")
    if episode is not None and not (episode.isascii() and episode.isdigit() and len(episode) <= 11):
        raise BadQuestion(f"there is no episode {episode[:40]!r}; follow a link in the list of episodes")
    return PageKey(
        kind=kind,
        name=name,
        range=query.get("range"),
        by=query.get("by") if kind is Kind.JOURNEY else None,
        episode_s=int(episode) if episode and kind is Kind.JOURNEY else None,
    )
