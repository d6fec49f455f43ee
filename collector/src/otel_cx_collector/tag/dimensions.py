"""Which of its closed sets' values an execution has. What is not listed becomes ``other``, absent is ``unset``."""

from typing import Final, NamedTuple

from otel_cx import semconv
from otel_cx_collector.decode.span import Scalar, text
from otel_cx_collector.inventory import Inventory

_KEPT_CHARS: Final = 64
_KEPT: Final = 4_096
"""Combinations of given values remembered; a million customers have some hundreds."""


class Values(NamedTuple):
    """Where an execution stands in every dimension."""

    six: tuple[str, ...]
    """Of the six dimensions, in the order of ``semconv.DIMENSIONS``."""
    own: dict[str, str]
    """Of the inventory's own dimensions. Shared between rows, not to be changed."""
    odd: tuple[str, ...]
    """Attributes whose values are not listed."""


class Dimensions:
    """The inventory's ``dimensions``, and the attributes ``identify`` names for them, compiled."""

    def __init__(self, inventory: Inventory) -> None:
        lookups = {name: _Lookup(inventory, name) for name in inventory.dimensions}
        self._six = [lookups[name] for name in semconv.DIMENSIONS]
        self._own = {name: lookups[name] for name, each in inventory.dimensions.items() if each.own}
        self.attributes = tuple(dict.fromkeys(each for lookup in lookups.values() for each in lookup.attributes))
        self._kept: dict[tuple[Scalar | None, ...], Values] = {}

    def values(self, attributes: dict[str, Scalar]) -> Values:
        """The values of one execution."""
        given = tuple(map(attributes.get, self.attributes))
        values = self._kept.get(given)
        if values is None:
            odd: list[str] = []
            six = tuple(lookup.value(attributes, odd) for lookup in self._six)
            own = {name: lookup.value(attributes, odd) for name, lookup in self._own.items()}
            values = Values(six, own, tuple(odd))
            # Texts alone: 1, 1.0 and True are one key of a dictionary, but three texts.
            if all(each is None or (isinstance(each, str) and len(each) <= _KEPT_CHARS) for each in given):
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[given] = values
        return values


class _Lookup:
    """One dimension."""

    def __init__(self, inventory: Inventory, name: str) -> None:
        dimension = inventory.dimensions[name]
        identify = inventory.identify.get(name)
        self.attributes = (dimension.attribute, *((identify.attribute,) if identify else ()))
        self._known = {*dimension.values, semconv.OTHER, semconv.UNSET}

    def value(self, attributes: dict[str, Scalar], odd: list[str]) -> str:
        for attribute in self.attributes:
            given = attributes.get(attribute)
            if given is not None:
                value = text(given)
                if value in self._known:
                    return value
                odd.append(attribute)
                return semconv.OTHER
        return semconv.UNSET
