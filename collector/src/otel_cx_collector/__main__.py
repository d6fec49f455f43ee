"""``otel-cx-collector`` and ``python -m otel_cx_collector``: runs the command line, nothing else."""

from otel_cx_collector.cli import main

if __name__ == "__main__":
    main()
