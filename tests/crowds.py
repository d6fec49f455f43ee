"""Many step rows at once, as columns, for simulations and benchmarks. Not for what a row means: see ``rows``."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otel_cx_collector.events import MINUTE_S, NS, STEP_SCHEMA, WEIGHT_ONE

Texts = str | Sequence[str] | NDArray[np.str_]


def crowd(end_ns: NDArray[np.int64], first: int = 0, **columns: Texts) -> pa.Table:
    """One ok execution, and so one attempt, for each time.

    Args:
        end_ns: When each ended, nanoseconds since the epoch.
        first: Number of the first; executions of one number are the same execution.
        columns: What is not plain: a text for all, or one for each.
    """
    count = len(end_ns)
    number = np.arange(first, first + count)
    nothing = pa.array([], pa.string())
    empty = pa.MapArray.from_arrays(pa.array(np.zeros(count + 1, dtype=np.int32)), nothing, nothing)
    known: dict[str, pa.Array] = {
        "minute": pa.array((end_ns // NS // MINUTE_S * MINUTE_S).astype(np.uint32)),
        "attempt": pc.binary_join_element_wise("a", pa.array(number).cast(pa.string()), ""),
        "span_id": _identities(number, 8),
        "trace_id": _identities(number, 16),
        "end": pa.array(end_ns),
        "own": empty,
        "flags": empty,
    }
    plain = {
        "environment": "production",
        "journey": "checkout",
        "step": "payment",
        "outcome": "ok",
        "grade": "explicit",
    }
    unset = dict.fromkeys(("segment", "plan", "region", "device", "workflow", "revenue_class"), "unset")
    texts: dict[str, Texts] = {**plain, **unset, "grade": "explicit", "service": "shop", **columns}
    numbers = {"duration_ns": NS // 10, "weight": WEIGHT_ONE, "version": 0, "recoverable": False, "exact": False}
    for name in STEP_SCHEMA.names:
        kind = STEP_SCHEMA.field(name).type
        if name in texts and not isinstance(texts[name], str):
            known[name] = pa.array(texts[name], kind)
        elif name not in known or name in columns:
            known[name] = pa.repeat(pa.scalar(numbers.get(name, texts.get(name, "")), kind), count)
    return pa.table([known[name] for name in STEP_SCHEMA.names], schema=STEP_SCHEMA)


def _identities(number: NDArray[np.int64], width: int) -> pa.Array:
    raw = np.zeros((len(number), width // 8), dtype=">u8")
    raw[:, -1] = number
    return pa.Array.from_buffers(pa.binary(width), len(number), [None, pa.py_buffer(raw.tobytes())])
