"""Which variant of which feature flag an execution was served. Bounded, and the same in any order of attributes."""

from typing import Final

from otel_cx_collector.decode.span import FLAG_KEY, FLAG_VARIANT, OLD_FLAG_VARIANT, Scalar, label

MAX_FLAGS: Final = 8
"""Flags kept of one execution, the first by name: a span is judged by few, and each is stored."""

ATTRIBUTES: Final = frozenset({FLAG_KEY, FLAG_VARIANT, OLD_FLAG_VARIANT})


def variants(attributes: dict[str, Scalar], events: tuple[dict[str, Scalar], ...]) -> dict[str, str]:
    """Flag -> variant, from ``feature_flag.*`` on the span and on its events; the last evaluation of a flag counts."""
    if not events and FLAG_KEY not in attributes:
        return {}
    found = {}
    for each in (attributes, *events):
        key = each.get(FLAG_KEY)
        variant = each.get(FLAG_VARIANT, each.get(OLD_FLAG_VARIANT))
        if key is not None and variant is not None:
            found[label(key)] = label(variant)
    return {key: found[key] for key in sorted(found)[:MAX_FLAGS]}
