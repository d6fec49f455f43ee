"""aiohttp's client: the customer's context leaves for allowed hosts alone. It traces and injects nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import wrapt
from opentelemetry.instrumentation.utils import unwrap

from otel_cx import trust
from otel_cx.instrumentors._shape import CallingInstrumentor


class AioHttpClientCXInstrumentor(CallingInstrumentor):
    """Looks at every request as it is written to its connection: each hop of a redirect, after every middleware."""

    requires = ("aiohttp >= 3.9, < 4",)
    official = "opentelemetry.instrumentation.aiohttp_client"

    def _put(self) -> None:
        wrapt.wrap_function_wrapper(aiohttp.ClientRequest, "send", _send)

    def _remove(self) -> None:
        unwrap(aiohttp.ClientRequest, "send")


def _send(
    wrapped: Callable[..., Any], request: aiohttp.ClientRequest, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    trust.check_hop(request.url, request.headers)
    return wrapped(*arguments, **keywords)
