"""A small hosting company as real processes: what otel-cx is shown with. Not part of the product."""
