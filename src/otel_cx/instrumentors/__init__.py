"""One framework, one file, one class shape: what `opentelemetry-instrument` finds, or a program calls.

The SDK works without any of them.
Each class has `instrument(...)` and `uninstrument()`, works before and after the official instrumentation of its
framework, and is listed under the entry point group `opentelemetry_instrumentor`.
"""
