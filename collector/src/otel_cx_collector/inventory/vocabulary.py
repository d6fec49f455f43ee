"""The kinds of value the inventory's shapes are made of: names, values, texts, durations, shares. Not the shapes.

Each kind is one annotation that says how the value is checked and what an editor is told (its JSON Schema).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    Strict,
    StringConstraints,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from otel_cx import semconv
from otel_cx_collector.inventory.quantities import (
    UnreadableError,
    format_duration,
    parse_duration,
    parse_share,
    parse_time,
    shown,
)
from otel_cx_collector.inventory.spelling import nearest

MAX_TEXT: Final = 1000
MAX_VALUES: Final = 256
"""Values of one dimension: each costs a row an hour and a line on the page."""


class Shape(BaseModel):
    """A mapping of the file. Unknown keys are errors that carry the known ones, so that the nearest can be named."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def keys(cls) -> list[str]:
        """Key names as they stand in the file, in the order of the reference."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="wrap")
    @classmethod
    def _tell_known_keys(cls, value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            details = [_detail(each, cls.keys()) for each in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, details) from None


def _detail(error: Any, keys: list[str]) -> InitErrorDetails:
    context = dict(error.get("ctx", {}))
    if error["type"] in ("extra_forbidden", "missing"):
        context.setdefault("known", keys)
    kind = PydanticCustomError(error["type"], "{kind}", context | {"kind": error["type"]})
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"])


def _name(value: str) -> str:
    if semconv.NAME.fullmatch(value):
        return value
    raise UnreadableError(
        f"{shown(value)} is not a name",
        "use lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 64",
    )


def _value(value: str) -> str:
    if not semconv.VALUE.fullmatch(value):
        raise UnreadableError(
            f"{shown(value)} cannot be a value", "use letters, digits, '.', '_', ':' and '-', at most 64 characters"
        )
    return value


def _listed(value: str) -> str:
    if value in (semconv.OTHER, semconv.UNSET):
        raise UnreadableError(
            f'"{value}" is what the collector writes when a value is not listed or absent', "remove it from the list"
        )
    return _value(value)


def _link(value: str) -> str:
    if value.startswith(("https://", "http://")) and value.isprintable() and " " not in value:
        return value
    raise UnreadableError(f"{shown(value)} is not a link", "write an address that begins with https:// or http://")


@dataclass(frozen=True)
class OneOf:
    """A closed set of words; the nearest is named."""

    words: tuple[str, ...]

    def check(self, value: str) -> str:
        """The word itself. Raises UnreadableError."""
        if value in self.words:
            return value
        raise UnreadableError(f"{shown(value)} is not known here", nearest(value, self.words))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True)
class Between:
    """Bounds of a duration, written as the file writes them; ``step`` says which multiples are taken."""

    low: str
    high: str
    step: str = "1ms"

    def check(self, duration_ns: int) -> int:
        """The duration itself. Raises UnreadableError."""
        if not parse_duration(self.low) <= duration_ns <= parse_duration(self.high):
            raise UnreadableError(
                f"{format_duration(duration_ns)} is not between {self.low} and {self.high}",
                "write a duration in between",
            )
        if self.step != "1ms" and duration_ns % parse_duration(self.step):
            raise UnreadableError(
                f"{format_duration(duration_ns)} is no multiple of {self.step}",
                f"windows are counted in slices of {self.step}",
            )
        return duration_ns

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True)
class Or:
    """Tells editors what else may stand here: what a validator before this one turns into the shape."""

    schema: dict[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [self.schema, handler(core)]}


def at_least_one(*keys: str) -> dict[str, Any]:
    """Of a mapping's keys, for its JSON Schema."""
    return {"anyOf": [{"required": [key]} for key in keys]}


def anchored(pattern: str) -> str:
    """A pattern for ``fullmatch`` as JSON Schema, which searches, needs it."""
    return f"^(?:{pattern})$"


NAME_PATTERN: Final = anchored(semconv.NAME.pattern)
DURATION_PATTERN: Final = r"^\d{1,12}(\.\d{1,9})?(ms|s|m|h|d|w)$"
TIME_PATTERN: Final = r"^\d{4}-\d{2}-\d{2}[T ].*(Z|[+-]\d{2}:?\d{2})$"
_PERCENT: Final = r"^\d{1,3}(\.\d{1,30})?%$"
_BELOW_100_PERCENT: Final = r"^(?!0+(\.0+)?%)\d{1,2}(\.\d{1,30})?%$"

Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
"""A journey, step, class or dimension: it travels in baggage and stands in addresses."""
Value = Annotated[
    str, AfterValidator(_value), WithJsonSchema({"type": "string", "pattern": anchored(semconv.VALUE.pattern)})
]
Listed = Annotated[
    str,
    AfterValidator(_listed),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": anchored(semconv.VALUE.pattern),
            "not": {"enum": [semconv.OTHER, semconv.UNSET]},
        }
    ),
]
"""A dimension's value."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Attribute = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S+$")]
"""The name of a span or resource attribute."""
Link = Annotated[
    str,
    StringConstraints(max_length=MAX_TEXT),
    AfterValidator(_link),
    WithJsonSchema({"type": "string", "pattern": r"^https?://\S+$"}),
]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Weight = Annotated[float, Strict(), Field(gt=0, le=1, allow_inf_nan=False)]
Duration = Annotated[
    int, BeforeValidator(parse_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
"""Nanoseconds; written with a unit."""
Positive = Annotated[Number, Field(gt=0)]
Time = Annotated[int, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "pattern": TIME_PATTERN})]
"""Nanoseconds since the epoch; written as ISO 8601 with a zone."""
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": _PERCENT}]}
    ),
]
Target = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": _BELOW_100_PERCENT},
            ]
        }
    ),
]
"""A share; that it is neither 0 nor 1 is checked with the objective it belongs to."""

T = TypeVar("T")


def _list_or_map(value: Any) -> str | None:
    if isinstance(value, dict):
        return None if isinstance(value.get("attribute"), str) else "(map)"
    return "(list)" if isinstance(value, list | tuple) else None


Values = Annotated[
    Annotated[tuple[T, ...], Tag("(list)"), Field(max_length=MAX_VALUES)]
    | Annotated[dict[T, Weight], Tag("(map)"), Field(max_length=MAX_VALUES)],
    Discriminator(_list_or_map),
]
"""A closed set of values: a list, or a mapping of value -> weight."""
