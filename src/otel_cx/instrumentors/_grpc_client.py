"""gRPC channels that tell the guard of egress which host their calls go to. They start no span and inject nothing new.

The official instrumentation injects before it knows the host. Where ours stands around it, the host is told for the
time of the call; where it stands around ours, what it injected is completed once the host is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import grpc.aio
import wrapt
from opentelemetry import propagate, trace

from otel_cx import trust
from otel_cx._diagnostics import Reason, count
from otel_cx._hosts import host_of_target
from otel_cx.instrumentors._patch import Patch

_MAKERS: Final = ("insecure_channel", "secure_channel")
_METADATA: Final = 2
"""Place of `metadata` among the arguments of a call."""
_Proxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)


def patched_channels() -> list[Patch]:
    """Patches what makes channels, threaded and asyncio."""
    return [Patch(module, name, _made) for module in (grpc, grpc.aio) for name in _MAKERS]


def _made(wrapped: Callable[..., Any], _module: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    channel = wrapped(*arguments, **keywords)
    try:
        host = host_of_target(str(arguments[0] if arguments else keywords["target"]))
        return _Channel(channel, host)
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
        return channel


class _Channel(_Proxy):  # type: ignore[misc]  # chosen at run time
    """A channel whose calls tell their host; everything else is the channel's own."""

    def __init__(self, channel: Any, host: str) -> None:
        super().__init__(channel)
        self._self_host = host

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self.__wrapped__.__exit__(*error)

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self.__wrapped__.__aexit__(*error)

    def unary_unary(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._self_calls("unary_unary", method, arguments, keywords)

    def unary_stream(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._self_calls("unary_stream", method, arguments, keywords)

    def stream_unary(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._self_calls("stream_unary", method, arguments, keywords)

    def stream_stream(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        return self._self_calls("stream_stream", method, arguments, keywords)

    def _self_calls(self, kind: str, method: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        calls = getattr(self.__wrapped__, kind)(method, *arguments, **keywords)
        return _Calls(calls, self._self_host, method.decode() if isinstance(method, bytes) else str(method))


class _Calls(_Proxy):  # type: ignore[misc]  # chosen at run time
    """The calls of one method."""

    def __init__(self, calls: Any, host: str, method: str) -> None:
        super().__init__(calls)
        self._self_goes = trust.GoingTo(host, method)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._self_call(self.__wrapped__, arguments, keywords)

    def with_call(self, *arguments: Any, **keywords: Any) -> Any:
        return self._self_call(self.__wrapped__.with_call, arguments, keywords)

    def future(self, *arguments: Any, **keywords: Any) -> Any:
        return self._self_call(self.__wrapped__.future, arguments, keywords)

    def _self_call(self, call: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        goes = self._self_goes
        with _told(goes):
            answer = call(*_completed(goes, arguments, keywords), **keywords)
        # The official instrumentation answers a stream by a generator, in which the call begins at the first message.
        return _going(answer, goes) if inspect.isgenerator(answer) else answer


@contextmanager
def _told(goes: trust.GoingTo) -> Iterator[None]:
    token = trust.going_to.set(goes)
    try:
        yield
    finally:
        trust.going_to.reset(token)


def _going(answer: Any, goes: trust.GoingTo) -> Iterator[Any]:
    """Yields the messages of a call that begins with the first of them."""
    with _told(goes):
        first = next(answer, _NOTHING)
    if first is not _NOTHING:
        yield first
        yield from answer


_NOTHING: Final = object()


def _completed(goes: trust.GoingTo, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
    """Adds the customer's context to what the official instrumentation, around us, injected for this very call.

    Changes `keywords` where the metadata is there; returns the arguments.
    """
    try:
        span = trace.get_current_span()
        if not trust.is_call_of(span, goes):
            return arguments
        place = len(arguments) > _METADATA
        present = arguments[_METADATA] if place else keywords.get("metadata")
        carrier: dict[str, str] = {}
        propagate.inject(carrier)  # `going_to` says where, and this is what is denied and counted
        members = carrier.get(trust.HEADER)
        if members is None:
            return arguments
        metadata = (*(item for item in present or () if item[0] != trust.HEADER), (trust.HEADER, members))
        if place:
            return (*arguments[:_METADATA], metadata, *arguments[_METADATA + 1 :])
        keywords["metadata"] = metadata
    except Exception as error:  # noqa: BLE001 - never the application's failure
        count(Reason.INTERNAL, error)
    return arguments
