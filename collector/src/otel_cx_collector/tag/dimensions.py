"""Which of its closed sets' values an execution has. What is not listed becomes ``other``, absent is ``unset``."""

from otel_cx import semconv
from otel_cx_collector.decode.span import Scalar, text
from otel_cx_collector.inventory import Inventory


class Dimensions:
    """The inventory's ``dimensions``, and the attributes ``identify`` names for them, compiled."""

    def __init__(self, inventory: Inventory) -> None:
        self._six = [_Lookup(inventory, name) for name in semconv.DIMENSIONS]
        self._own = [(name, _Lookup(inventory, name)) for name, each in inventory.dimensions.items() if each.own]
        lookups = [*self._six, *(lookup for _, lookup in self._own)]
        self.attributes = frozenset(attribute for lookup in lookups for attribute in lookup.attributes)

    def six(self, attributes: dict[str, Scalar], odd: list[str]) -> list[str]:
        """Values of the six dimensions in the order of ``semconv.DIMENSIONS``; unlisted ones are noted in ``odd``."""
        return [lookup.value(attributes, odd) for lookup in self._six]

    def own(self, attributes: dict[str, Scalar], odd: list[str]) -> dict[str, str]:
        """Values of the inventory's own dimensions."""
        return {name: lookup.value(attributes, odd) for name, lookup in self._own}


class _Lookup:
    """One dimension."""

    def __init__(self, inventory: Inventory, name: str) -> None:
        dimension = inventory.dimensions[name]
        identify = inventory.identify.get(name)
        self.attributes = (dimension.attribute, *((identify.attribute,) if identify else ()))
        self._known: dict[str, str] = {value: value for value in dimension.values}
        self._known |= {semconv.OTHER: semconv.OTHER, semconv.UNSET: semconv.UNSET}

    def value(self, attributes: dict[str, Scalar], odd: list[str]) -> str:
        for attribute in self.attributes:
            given = attributes.get(attribute)
            if given is not None:
                known = self._known.get(given if isinstance(given, str) else text(given))
                if known is None:
                    odd.append(attribute)
                    return semconv.OTHER
                return known
        return semconv.UNSET
