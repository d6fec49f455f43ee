"""Bytes in, OTLP answers out."""
