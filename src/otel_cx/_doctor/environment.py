"""What the environment says before anything runs: packages, variables, settings. Never shows a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from otel_cx._doctor.findings import Finding, note, ok, problem
from otel_cx._settings import Settings
from otel_cx.exceptions import CXError

OLDEST: Final = (1, 30)
"""As in the distribution's requirements."""
PROPAGATORS: Final = ("tracecontext", "baggage")
"""What must be among the propagators, so that a journey and its trace go on in the next service."""

_PACKAGES: Final = (
    "otel-cx",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-distro",
    "opentelemetry-instrumentation",
)
_SERVING: Final = {
    "aiohttp": "aiohttp-server",
    "celery": "celery",
    "confluent-kafka": "confluent-kafka",
    "django": "django",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "grpcio": "grpc",
    "starlette": "starlette",
}
"""Libraries that serve -> the end of the name of what instruments them."""
_PULLED_IN: Final = {"grpcio": "opentelemetry-exporter-otlp-proto-grpc", "starlette": "fastapi"}
"""Libraries that are there for another package's sake, so that nothing may serve with them."""
_SECRET: Final = re.compile(r"HEADERS|TOKEN|SECRET|PASSWORD|API_?KEY|OTELCX_KEY$")
_CREDENTIALS: Final = re.compile(r"//[^/@]*@")


def examine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Yields what is found in the environment, which is the process's unless given."""
    env = os.environ if environ is None else environ
    yield from _packages()
    yield ok("environment", "Variables that are set.", _listed(env))
    yield from _switched_off(env)
    yield from _propagators(env)
    yield from _sampler(env)
    yield from _file(env)
    yield from _settings(env)


def installed(package: str) -> str | None:
    """Returns the version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    found = {name: installed(name) for name in _PACKAGES}
    shown = ", ".join(f"{name} {has}" for name, has in found.items() if has)
    api, sdk = found["opentelemetry-api"], found["opentelemetry-sdk"]
    if sdk is None:
        cure = "Install it with: pip install 'otel-cx[sdk]'"
        yield problem("no-sdk", "opentelemetry-sdk is not installed, so nothing is recorded.", shown, cure)
    elif api != sdk:
        cure = f"Install both of one version: pip install opentelemetry-api=={sdk} opentelemetry-sdk=={sdk}"
        yield problem("versions", "opentelemetry-api and opentelemetry-sdk do not belong together.", shown, cure)
    elif _numbers(sdk) < OLDEST:
        cure = "Upgrade them: pip install -U opentelemetry-api opentelemetry-sdk"
        yield problem("versions", f"OpenTelemetry is older than {OLDEST[0]}.{OLDEST[1]}.", shown, cure)
    else:
        yield ok("packages", "The packages belong together.", shown)
    yield from _uninstrumented()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _uninstrumented() -> Iterator[Finding]:
    for library, name in _SERVING.items():
        package = f"opentelemetry-instrumentation-{name}"
        if installed(library) and not installed(package) and not installed(_PULLED_IN.get(library, "")):
            cure = f"If it serves here, install: pip install {package}"
            what = f"{library} is not instrumented: what it serves has no server or consumer span."
            yield note("not-instrumented", what, f"{library} {installed(library)}, no {package}", cure)


def _listed(env: Mapping[str, str]) -> str:
    names = sorted(name for name in env if name.startswith(("OTEL_", "OTELCX_")))
    return ", ".join(f"{name}={shown(name, env[name])}" for name in names) or "none of OTEL_* and OTELCX_*"


def shown(name: str, value: str) -> str:
    """Returns the value of a variable as it may be shown: nothing of keys, headers and credentials."""
    if _SECRET.search(name):
        return "(set, not shown)"
    return _CREDENTIALS.sub("//(credentials)@", value)


def _switched_off(env: Mapping[str, str]) -> Iterator[Finding]:
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield problem("sdk-disabled", "OpenTelemetry is switched off.", "OTEL_SDK_DISABLED=true", "Unset it.")
    exporters = env.get("OTEL_TRACES_EXPORTER", "")
    if exporters.strip().lower() == "none":
        cure = "Set OTEL_TRACES_EXPORTER=otlp; it counts under opentelemetry-instrument."
        yield problem("no-exporter", "Traces are not exported.", f"OTEL_TRACES_EXPORTER={exporters}", cure)
    disabled = [name.strip() for name in env.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    if {"cx", "*"} & set(disabled):
        cure = "Take cx out of it, or call otel_cx.install yourself."
        said = f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={','.join(disabled)}"
        yield problem("cx-disabled", "opentelemetry-instrument does not install otel-cx.", said, cure)


def _propagators(env: Mapping[str, str]) -> Iterator[Finding]:
    said = env.get("OTEL_PROPAGATORS")
    if said is None or "OTEL_CONFIG_FILE" in env:  # a file goes before it
        return
    names = {name.strip() for name in said.split(",")}
    missing = [name for name in PROPAGATORS if name not in names]
    if missing:
        cure = "Set OTEL_PROPAGATORS=tracecontext,baggage, and what else you need behind them."
        what = f"{' and '.join(missing)} is not propagated, so a journey ends with the process."
        yield problem("propagator-missing", what, f"OTEL_PROPAGATORS={said}", cure)


def _sampler(env: Mapping[str, str]) -> Iterator[Finding]:
    sampler = env.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    exact = env.get("OTELCX_EXACT", "").strip().lower() in {"1", "true", "yes", "on"}
    if exact or not sampler or sampler.endswith("always_on"):
        return
    said = f"OTEL_TRACES_SAMPLER={sampler}, OTEL_TRACES_SAMPLER_ARG={env.get('OTEL_TRACES_SAMPLER_ARG', 'not set')}"
    cure = "Set OTELCX_EXACT=true, so that every step is sent; or sample all traces."
    yield problem("sampled", "Steps are lost to sampling, and exact is off.", said, cure)


def _file(env: Mapping[str, str]) -> Iterator[Finding]:
    path = env.get("OTEL_CONFIG_FILE")
    if not path:
        return
    if installed("opentelemetry-configuration") is None:
        cure = "Install what reads it: pip install 'opentelemetry-sdk[file-configuration]'"
        yield problem("config-file", "The configuration file is not read.", f"OTEL_CONFIG_FILE={path}", cure)
        return
    import yaml  # what reads the file needs it too

    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as in _settings
            content = yaml.safe_load(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        cure = "Give the path of a readable configuration file."
        yield problem("config-file", f"The configuration file cannot be read: {error}", path, cure)
        return
    yield from _content(path, content if isinstance(content, dict) else {})


def _content(path: str, content: Mapping[str, Any]) -> Iterator[Finding]:
    yield ok("config-file", "A configuration file goes before OTEL_PROPAGATORS and the other OTEL_* of the SDK.", path)
    if "tracer_provider" not in content:
        cure = "Add `tracer_provider` with a processor that exports OTLP."
        yield problem("no-exporter", "The configuration file sets up no tracing.", path, cure)
    carried = str(content.get("propagator"))
    missing = [name for name in PROPAGATORS if name not in carried]
    if missing:
        cure = "Add to the file: propagator: {composite: [{tracecontext: }, {baggage: }]}"
        what = f"The configuration file does not propagate {' and '.join(missing)}: without `propagator`, nothing is."
        yield problem("propagator-missing", what, path, cure)


def _settings(env: Mapping[str, str]) -> Iterator[Finding]:
    try:
        settings = Settings.from_env(env)
    except CXError as error:
        cure = "Correct it: with this, the start fails, or under opentelemetry-instrument nothing is installed."
        yield problem("settings", str(error), "OTELCX_*", cure)
        return
    if settings.keys is None:
        cure = "Set OTELCX_KEY_FILE, if identify() names customers or accounts."
        yield note("no-key", "There is no key, so no customer is recorded.", "neither OTELCX_KEY nor _FILE", cure)
    yield ok("settings", "The settings can be used.", f"trust={settings.trust}")
