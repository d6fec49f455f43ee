"""``python -m otel_cx_collector.inventory > cx.schema.json``: prints the JSON Schema of cx.yaml. Nothing else."""

import json
import sys

from otel_cx_collector.inventory import json_schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
