"""OTLP bytes to candidate spans; never raises on input."""
