"""Settings of the Django shop, whose pages a test puts in. Not assertions."""

from typing import Any

SECRET_KEY = "of the tests"  # noqa: S105 - as it says
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
MIDDLEWARE: list[str] = []
DEBUG_PROPAGATE_EXCEPTIONS = False
LOGGING_CONFIG = None
urlpatterns: list[Any] = []
