"""What is wrong with a whole request body, as opposed to one span of it. Not the answer sent: that is ``receive``.

CollectorError
├── BadRequest   the body is not what its content type says: the sender must not send it again
└── TooLarge     the body passes a named limit: the sender must not send it again
"""

from otel_cx_collector.errors import CollectorError


class BadRequest(CollectorError):  # noqa: N818 - named as the OTLP answer it becomes
    """The body cannot be read; the message says where and what to do."""


class TooLarge(CollectorError):  # noqa: N818 - named as the OTLP answer it becomes
    """The body is over a limit; the message names the limit and the cure."""
