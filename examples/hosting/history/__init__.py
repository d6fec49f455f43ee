"""A day of history for the platform, made in seconds and sent as real OTLP: so that baselines exist at once.

Not live traffic, and marked as such: every span's resource says ``hosting.origin=history``.
"""
