"""requests: the customer's context leaves for allowed hosts alone, redirects too. It traces and injects nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import unwrap
from requests import PreparedRequest, Session
from requests.adapters import HTTPAdapter

from otel_cx import trust
from otel_cx.instrumentors._shape import CallingInstrumentor


class RequestsCXInstrumentor(CallingInstrumentor):
    """Looks at every request where its adapter sends it, and at every redirect before that.

    Adapters that are none of requests' own kind see their first request as the official instrumentation made it, which
    went by the same list.
    """

    requires = ("requests >= 2.25, < 3",)
    official = "opentelemetry.instrumentation.requests"

    def _put(self) -> None:
        wrapt.wrap_function_wrapper(HTTPAdapter, "send", _send)
        wrapt.wrap_function_wrapper(Session, "rebuild_auth", _send)

    def _remove(self) -> None:
        unwrap(HTTPAdapter, "send")
        unwrap(Session, "rebuild_auth")


def _send(wrapped: Callable[..., Any], _instance: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    request = arguments[0] if arguments else keywords.get("request", keywords.get("prepared_request"))
    if isinstance(request, PreparedRequest):
        trust.check_hop(request.url, request.headers)
    return wrapped(*arguments, **keywords)
