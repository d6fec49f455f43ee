"""otel-cx: tags OpenTelemetry spans with the customer journey they serve."""
