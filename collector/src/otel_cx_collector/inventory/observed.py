"""One kind of traffic that was seen: what drafts are written from and pages show. Not how it is gathered."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Observed:
    """Spans that agree in service, kind, what was called, journey and step. Texts are ``""`` when absent."""

    service: str
    kind: str
    """``server``, ``consumer`` or ``other``; the last only with a step."""
    route: str = ""
    """HTTP method and route, ``POST /pay``."""
    rpc: str = ""
    """RPC service and method, ``shop.Checkout/Confirm``."""
    destination: str = ""
    """Queue or topic."""
    journey: str = ""
    step: str = ""
    spans: Count = 0
    entries: Count = 0
    """Of these, spans without a parent: where a trace begins."""
    attempts: Count = 0
    """Of these, spans that carry an attempt; likewise sessions and customers."""
    sessions: Count = 0
    customers: Count = 0
    first_ns: Count = 0
    """Earliest and latest end, nanoseconds since the epoch; 0 when no span had a usable time."""
    last_ns: Count = 0
    position: float | None = None
    """Mean place, from 0, among what else its attempt (else session, else trace) did in the same journey or service;
    None when it was never seen beside another."""
    environments: tuple[str, ...] = ()
    dimensions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values seen, by the inventory's name of the dimension."""
    ids: tuple[str, ...] = ()
    """Well-known attributes that say whose span it is, such as ``enduser.id``."""
    probes: tuple[str, ...] = ()
    """Beginnings of User-Agents of known health checkers."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``from_json`` reads them back to an equal Observed."""
        plain: dict[str, Any] = to_jsonable_python(self)
        return plain

    @classmethod
    def from_json(cls, plain: object) -> "Observed":
        """What ``to_json`` wrote. Raises ValueError with the reason for anything else."""
        try:
            return _READER.validate_python(plain)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "value"
            raise ValueError(f"not an observation: {where}: {first['msg']}") from None


_READER: Final = TypeAdapter(Observed)
