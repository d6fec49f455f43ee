"""The pages, live, and the server that carries them and the API. No figure is made here: views makes them."""

from otel_cx_collector.web.app import create_app
from otel_cx_collector.web.server import WebServer
from otel_cx_collector.web.settings import WebSettings

__all__ = ["WebServer", "WebSettings", "create_app"]
