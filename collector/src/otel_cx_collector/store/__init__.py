"""The one place that speaks to ClickHouse."""
