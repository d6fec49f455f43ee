"""httpx: the customer's context leaves for allowed hosts alone, redirects too. It traces and injects nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import wrapt
from opentelemetry.instrumentation.utils import unwrap

from otel_cx import trust
from otel_cx.instrumentors._shape import CallingInstrumentor

_ONE_HOP = "_send_single_request"
"""Of both clients: what each hop of a redirect passes, before the transport; the official one patches transports."""


class HTTPXCXInstrumentor(CallingInstrumentor):
    """Looks at every hop of every client, whatever its transport, before the official instrumentation injects."""

    requires = ("httpx >= 0.24, < 1",)
    official = "opentelemetry.instrumentation.httpx"

    def _put(self) -> None:
        wrapt.wrap_function_wrapper(httpx.Client, _ONE_HOP, _send)
        wrapt.wrap_function_wrapper(httpx.AsyncClient, _ONE_HOP, _send)

    def _remove(self) -> None:
        unwrap(httpx.Client, _ONE_HOP)
        unwrap(httpx.AsyncClient, _ONE_HOP)


def _send(wrapped: Callable[..., Any], _client: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    request = arguments[0] if arguments else keywords.get("request")
    if isinstance(request, httpx.Request):
        trust.check_hop(request.url, request.headers)
    return wrapped(*arguments, **keywords)  # of the asynchronous client: a coroutine
