"""Asks around for `otel-cx doctor`: the environment, the endpoint where spans go, the collector's own answers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote, urlsplit

from otel_cx import semconv
from otel_cx._findings import Finding, note, ok, problem
from otel_cx._settings import Settings
from otel_cx.exceptions import CXError

TIMEOUT_S: Final = 5.0
"""Of each question."""
PACKAGES: Final = (
    "otel-cx",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "wrapt",
)
SECRET: Final = ("KEY", "TOKEN", "SECRET", "HEADERS", "PASSWORD")
"""Words in the names of variables whose values are not shown; a path to a file is."""
_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def packages() -> Iterator[Finding]:
    """Which versions are installed."""
    for name in PACKAGES:
        try:
            yield ok(f"{name} is installed", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield problem(f"{name} is not installed", "", "pip install 'otel-cx[sdk]'")


def environment(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """What the environment sets, and whether it can be used."""
    env = os.environ if environ is None else environ
    for name in sorted(env):
        if name.startswith(("OTEL_", "OTELCX_")):
            yield ok(f"{name} is set", _shown(name, env[name]))
    try:
        settings = Settings.from_env(env)
    except (CXError, OSError) as error:
        yield problem("a setting cannot be used, and the process fails at start", str(error), "correct it")
    else:
        if settings.routes:
            yield ok("routes of the settings are read", f"{len(settings.routes)}")
    propagators = env.get("OTEL_PROPAGATORS")
    if propagators is not None and "baggage" not in propagators.split(","):
        yield problem(
            "journeys end with the process: OTEL_PROPAGATORS names no baggage", propagators, "add baggage to it"
        )
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield problem("OpenTelemetry is switched off", "OTEL_SDK_DISABLED=true", "unset it")
    if env.get("OTEL_TRACES_EXPORTER") == "none":
        yield problem("no span is sent anywhere", "OTEL_TRACES_EXPORTER=none", "unset it, or set it to otlp")
    sampler = env.get("OTEL_TRACES_SAMPLER", "")
    if "ratio" in sampler and env.get("OTELCX_EXACT", "").lower() not in {"1", "true", "yes", "on"}:
        yield note("traces are sampled, and with them steps", sampler, "set OTELCX_EXACT=true")


def _shown(name: str, value: str) -> str:
    secret = any(word in name for word in SECRET) and not name.endswith("_FILE")
    return "(not shown)" if secret else value


def endpoint(url: str, protocol: str = "grpc") -> Iterator[Finding]:
    """Whether `url` takes spans: an export of none is sent to it, as the process would send it."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 4317)
    except ValueError:
        host, port = None, 0
    if parts.scheme not in {"http", "https"} or not host:
        yield problem("the endpoint is no URL", repr(url), "write http://collector:4317")
        return
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError as error:
        yield problem(
            f"nothing can be reached at {url}",
            f"{type(error).__name__}: {error}",
            "start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT to where it listens",
        )
        return
    yield _export_http(url) if protocol == "http/protobuf" else _export_grpc(url, f"{host}:{port}", parts.scheme)


def _export_grpc(url: str, address: str, scheme: str) -> Finding:
    try:
        import grpc
    except ImportError:
        return problem("grpcio is not installed", "", "pip install 'otel-cx[sdk]'")
    secure = scheme == "https"
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials()) if secure else grpc.insecure_channel(address)
    try:
        with channel:
            call: Any = channel.unary_unary(_METHOD)
            call(b"", timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        failed: Any = error
        code, details = failed.code().name, failed.details() or ""
        cures = {
            "UNAUTHENTICATED": "set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token> to a token it knows",
            "UNIMPLEMENTED": "this is another gRPC service: give the address of the collector's OTLP/gRPC port",
            "UNAVAILABLE": "if this is its HTTP port (4318), set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf; if it has "
            "TLS, write https://",
            "DEADLINE_EXCEEDED": "something listens there and does not answer: give the collector's OTLP/gRPC port",
        }
        cure = cures.get(code, "read what it says")
        return problem(f"{url} takes no spans over gRPC", f"{code} {details[:200]}".strip(), cure)
    return ok(f"{url} takes spans over gRPC")


def _export_http(url: str) -> Finding:
    target = url if url.rstrip("/").endswith("/v1/traces") else f"{url.rstrip('/')}/v1/traces"
    request = urllib.request.Request(  # noqa: S310 - its scheme was checked
        target, data=b"", headers={"Content-Type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - as above
            return ok(f"{url} takes spans over HTTP")
    except urllib.error.HTTPError as error:
        cure = (
            "set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token> to a token it knows"
            if error.code in {401, 403}
            else "give the collector's OTLP/HTTP port, 4318 by default"
        )
        return problem(f"{url} takes no spans over HTTP", f"{error.code} {error.reason}", cure)
    except (OSError, ValueError, HTTPException) as error:
        return problem(
            f"{url} takes no spans over HTTP",
            f"{type(error).__name__}: {str(error)!a}"[:200],
            "if this is its gRPC port (4317), set OTEL_EXPORTER_OTLP_PROTOCOL=grpc; if it has TLS, write https://",
        )


def collector(api: str, journey: str | None) -> Iterator[Finding]:
    """What the collector's API says of what it was sent, and of `journey`."""
    try:
        intake, traffic = _asked(api, "/intake"), _asked(api, "/traffic")
        known = _asked(api, "/inventory")["journeys"]
    except (OSError, ValueError, KeyError, HTTPException) as error:
        yield problem(
            f"the collector's page at {api} does not answer",
            f"{type(error).__name__}: {error}"[:200],
            "give --api the address of its page, http://127.0.0.1:8080 by default",
        )
        return
    yield from _intake(intake)
    yield from _unmapped(traffic)
    if journey is not None:
        yield from _journey(api, journey, known)


def _intake(intake: Mapping[str, Any]) -> Iterator[Finding]:
    if not intake["spans"]:
        yield problem(
            "the collector was sent no span since its start",
            f"since {intake['since']}",
            "check the endpoint of the service, and that it does something",
        )
    else:
        yield ok("the collector is sent spans", f"{intake['spans']} spans, {intake['steps']} of them steps")
    for reason, times in intake["refused"].items():
        if times:
            yield problem(
                f"spans are refused: {reason}", f"{times} times", _REFUSED.get(reason, "see its page Inventory")
            )
    for each in intake["overflow"]:
        yield note(
            f"values of {each['attribute']} are none of the inventory's and count as other",
            f"{each['count']} values of {each['service']}",
            "add them to `dimensions` in cx.yaml, or correct the service",
        )
    if not intake["store_ok"]:
        yield problem("the collector's store is down", str(intake["store_error"]), "see its log")


_REFUSED: Final = {
    "unknown_journey": "add the journey to cx.yaml, or correct its name in the code",
    "unknown_step": "add the step to its journey in cx.yaml, or correct its name in the code",
    "no_journey": f"a span has {semconv.JOURNEY_STEP} and no {semconv.JOURNEY_NAME}: tag it by the SDK",
    "too_late": "spans come more than a day after they ended: check clocks and queues",
    "in_future": "spans end more than five minutes from now: check the clocks",
}


def _unmapped(traffic: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for each in traffic[:_SHOWN]:
        name = each.get("route") or each.get("rpc") or each.get("destination")
        if name:
            yield note(
                "traffic is seen that is no step",
                f"{name} of {each.get('service')}, {each.get('spans')} spans",
                "if it is one, add it to `match` of a journey in cx.yaml, or to OTELCX_ROUTES of the service",
            )


_SHOWN: Final = 10


def _journey(api: str, name: str, known: Mapping[str, Any]) -> Iterator[Finding]:
    if name not in known:
        yield problem(
            f"the collector's inventory has no journey {name!r}",
            f"it has {', '.join(sorted(known)) or 'none'}",
            "add it to cx.yaml and send the collector SIGHUP, or correct its name in the code",
        )
        return
    try:
        found = _asked(api, f"/journeys/{quote(name, safe='')}?range=1h")
    except (OSError, ValueError) as error:
        yield note(f"nothing is known of {name} yet", f"{error}"[:200], "wait for the first evaluation, half a minute")
        return
    seen = {step: sum(figures[outcome] for outcome in semconv.OUTCOMES) for step, figures in found["steps"].items()}
    if not any(seen.values()):
        yield problem(
            f"no step of {name} was seen in the last hour",
            f"its steps are {', '.join(seen)}",
            "see above whether spans come at all and are refused; then open a step in the code, or map its route",
        )
        return
    yield ok(f"{name} is seen", ", ".join(f"{step} {times}" for step, times in seen.items()))
    for step, times in seen.items():
        if not times:
            yield note(f"step {step} of {name} was not seen in the last hour", "0", "open it in the code, or map it")
    if found["grade"] in {"trace", "customer"}:
        yield note(
            f"attempts at {name} are told apart by {found['grade']} alone",
            f"grade {found['grade']}",
            "name the attempt: journey.attempt(cart.id), or attempt= of the middleware",
        )


def _asked(api: str, path: str) -> Any:
    url = f"{api.rstrip('/')}/api/v1{path}"
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{api!r} is no URL")
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - its scheme was checked
        return json.load(answer)
