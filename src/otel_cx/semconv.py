"""The wire vocabulary: every attribute name, closed value set and value rule, in one place. Not behaviour."""

import re
from typing import Final

JOURNEY_NAME: Final = "otelcx.journey.name"
JOURNEY_ATTEMPT: Final = "otelcx.journey.attempt"
JOURNEY_STEP: Final = "otelcx.journey.step"
JOURNEY_WITHIN: Final = "otelcx.journey.within"
STEP_OUTCOME: Final = "otelcx.step.outcome"
STEP_RECOVERABLE: Final = "otelcx.step.recoverable"
SEGMENT: Final = "otelcx.segment"
PLAN: Final = "otelcx.plan"
REGION: Final = "otelcx.region"
DEVICE_CLASS: Final = "otelcx.device.class"
WORKFLOW_TYPE: Final = "otelcx.workflow.type"
REVENUE_CLASS: Final = "otelcx.revenue.class"
REVENUE_AMOUNT: Final = "otelcx.revenue.amount"
REVENUE_CURRENCY: Final = "otelcx.revenue.currency"
CUSTOMER_ID: Final = "otelcx.customer.id"
ACCOUNT_ID: Final = "otelcx.account.id"
EXACT: Final = "otelcx.exact"
SIGNATURE: Final = "otelcx.sig"

PREFIX: Final = "otelcx."
SESSION_ID: Final = "session.id"
ENVIRONMENT: Final = "deployment.environment.name"
ERROR_TYPE: Final = "error.type"
SYNTHETIC_TYPE: Final = "user_agent.synthetic.type"

DIMENSIONS: Final[dict[str, str]] = {
    "segment": SEGMENT,
    "plan": PLAN,
    "region": REGION,
    "device": DEVICE_CLASS,
    "workflow": WORKFLOW_TYPE,
    "revenue_class": REVENUE_CLASS,
}
"""Inventory name of each dimension -> the attribute that carries it."""

DEVICE_CLASSES: Final = ("desktop", "mobile", "tablet", "api")
WORKFLOW_TYPES: Final = ("interactive", "batch", "webhook")
REVENUE_CLASSES: Final = ("new", "expansion", "renewal", "usage", "none")
OUTCOMES: Final = ("ok", "failed", "rejected", "cancelled")

CANCELLED_TYPES: Final = ("CancelledError", "CancelledException", "AbortError")
"""What the name of an exception ends with that means its caller went away."""
GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""Status codes by number. https://grpc.io/docs/guides/status-codes/"""
GRPC_FAILED: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that are the server's failure; but for OK and CANCELLED the others are the caller's side."""

CONTEXT: Final = (JOURNEY_NAME, JOURNEY_ATTEMPT, *DIMENSIONS.values(), CUSTOMER_ID, ACCOUNT_ID)
"""What stands on every span of a journey and may travel as baggage; never step, within or money."""

OTHER: Final = "other"
UNSET: Final = "unset"

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VALUE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
PSEUDONYM: Final = re.compile(r"[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9_-]{22}")
"""``<key id>.<22 base64url characters>``: 132 bits of HMAC-SHA-256 over the raw id. Match with ``fullmatch``."""
