"""The whole file as it is written: dimensions, journeys and everything beside them. Not what it means (model.py)."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from otel_cx import semconv
from otel_cx_collector.inventory.decisions import Channel, Rule, Saturation
from otel_cx_collector.inventory.quantities import UnreadableError, shown
from otel_cx_collector.inventory.shape import MAX_RULES, Ignore, Maintenance, WrittenIdentity, WrittenJourney
from otel_cx_collector.inventory.vocabulary import NAME_PATTERN, Attribute, Listed, Name, OneOf, Shape, Value, Values

MAX_OWN_DIMENSIONS: Final = 4
"""Each is a column of every row and a breakdown of every figure."""
MAX_JOURNEYS: Final = 500
MAX_ENVIRONMENTS: Final = 16
DEFAULT_ENVIRONMENTS: Final = ("production", semconv.UNSET)


def _currency(value: str) -> str:
    if len(value) == 3 and value.isascii() and value.isupper() and value.isalpha():
        return value
    raise UnreadableError(f"{shown(value)} is not a currency", "write the three letters of ISO 4217, such as EUR")


def _version(value: Any) -> Any:
    if type(value) is int and value == 1:
        return value
    raise UnreadableError(f"{shown(value)} is a version that this collector does not read", "write 1")


Version = Annotated[int, BeforeValidator(_version), WithJsonSchema({"const": 1})]
Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})]


class OwnDimension(Shape):
    """A dimension of the user's own."""

    attribute: Attribute
    """The span or resource attribute that carries it."""
    values: Values[Listed]
    """A list, or a mapping of value -> weight."""


class Dimensions(Shape):
    """Closed sets of values; what is not listed becomes other, and weighs 1 like what has no weight here."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"pattern": NAME_PATTERN}}, title="Dimensions"
    )
    __pydantic_extra__: dict[str, OwnDimension] = Field(init=False)

    segment: Values[Listed] = ()
    """Customer segment."""
    plan: Values[Listed] = ()
    """Plan tier."""
    region: Values[Listed] = ()
    """The customer's region."""
    device: Values[Annotated[str, OneOf(semconv.DEVICE_CLASSES)]] = semconv.DEVICE_CLASSES
    """Device class."""
    workflow: Values[Annotated[str, OneOf(semconv.WORKFLOW_TYPES)]] = semconv.WORKFLOW_TYPES
    """Workflow type."""
    revenue_class: Values[Annotated[str, OneOf(semconv.REVENUE_CLASSES)]] = semconv.REVENUE_CLASSES
    """Revenue class."""


class Identities(Shape):
    """Where services without the SDK carry who is asking."""

    customer: WrittenIdentity | None = None
    """The customer's id; hashed unless hash: false."""
    account: WrittenIdentity | None = None
    """The account's id; hashed unless hash: false."""
    session: WrittenIdentity | None = None
    """The session's id, where it is not session.id."""
    segment: WrittenIdentity | None = None
    plan: WrittenIdentity | None = None
    region: WrittenIdentity | None = None
    device: WrittenIdentity | None = None
    workflow: WrittenIdentity | None = None
    revenue_class: WrittenIdentity | None = None

    def given(self) -> dict[str, WrittenIdentity]:
        """What the file names, by key."""
        return {key: getattr(self, key) for key in type(self).model_fields if getattr(self, key) is not None}


class File(Shape):
    """cx.yaml."""

    version: Version = 1
    """Of the format."""
    currency: Currency | None = None
    """ISO 4217."""
    environments: Annotated[tuple[Value, ...], Field(min_length=1, max_length=MAX_ENVIRONMENTS)] = DEFAULT_ENVIRONMENTS
    """deployment.environment.name of what is judged; others are stored and shown apart."""
    dimensions: Dimensions = Dimensions()
    identify: Identities = Identities()
    ignore: tuple[Ignore, ...] = Field(default=(), max_length=MAX_RULES)
    """Counted as synthetic."""
    maintenance: tuple[Maintenance, ...] = ()
    """Times left out of good and total, and shown."""
    journeys: Annotated[dict[Name, WrittenJourney], Field(min_length=1, max_length=MAX_JOURNEYS)]
    """By name."""
    saturation: dict[Name, Saturation] = Field(default_factory=dict)
    """Resources that can run out, by name."""
    escalation: tuple[Rule, ...] = ()
    """The decision tree: the first rule that is true decides."""
    notify: dict[Name, Channel] = Field(default_factory=dict)
    """Who is told, by name."""
