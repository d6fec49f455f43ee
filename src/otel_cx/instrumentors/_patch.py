"""One attribute of a library, wrapped, and put back in whatever order instrumentations leave. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt


class Patch:
    """Wraps `owner.name` until `remove`.

    Another instrumentation may have wrapped the same since, and then ours cannot be taken out from under it; it passes
    calls through from then on.
    """

    def __init__(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        self._owner, self._name, self._active = owner, name, True
        self._original = vars(owner)[name]
        self._wrapped = wrapt.FunctionWrapper(self._original, wrapper, enabled=lambda: self._active)
        setattr(owner, name, self._wrapped)

    def remove(self) -> None:
        """Puts back what was there, and is inert where that is not possible."""
        self._active = False
        if vars(self._owner).get(self._name) is self._wrapped:
            setattr(self._owner, self._name, self._original)
