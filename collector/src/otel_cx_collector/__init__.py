"""otel-cx-collector: from tagged OTLP spans to judged customer journeys."""
