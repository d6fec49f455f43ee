"""The version of the distribution, read from its metadata."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("otel-cx-collector")
