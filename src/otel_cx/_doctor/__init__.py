"""Why a journey does not show up: what is seen, and what to do. Changes nothing, sends nothing but empty exports.

`otel_cx.doctor()` looks at the running process, the command `otel-cx doctor` at environment, endpoint and collector.
"""

from __future__ import annotations

from otel_cx._doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "doctor"]


def doctor() -> list[Finding]:
    """Returns what is right and wrong with journeys in the running process: provider, propagator, routes, losses.

    Call it where the application has served something: behind a route for operators, in a shell. It shows no secret
    and no customer. The command `otel-cx doctor` says the same of an application that it imports.

    >>> import otel_cx
    >>> all(finding.cure for finding in otel_cx.doctor() if finding.level == "problem")
    True
    """
    from otel_cx._doctor.process import examine

    return list(examine())
