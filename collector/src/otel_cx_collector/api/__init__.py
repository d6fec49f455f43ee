"""The JSON API under ``/api/v1``: the same answers as the pages. It asks nothing that views does not answer."""

from otel_cx_collector.api.app import create_api

__all__ = ["create_api"]
