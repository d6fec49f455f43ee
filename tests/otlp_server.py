"""Both receivers over the real decoder as a process of their own, to see what they cost. Not a test.

Prints the ports of gRPC and HTTP on one line; ends when its standard input does.
"""

import sys

from otlp import DecodingSink

from otel_cx_collector.receive import GrpcReceiver, HttpReceiver, InFlight, ReceiveLimits


def main() -> None:
    limits, sink = ReceiveLimits(), DecodingSink()
    in_flight = InFlight(limits.in_flight_bytes)
    grpc = GrpcReceiver("127.0.0.1:0", sink, limits, in_flight=in_flight)
    http = HttpReceiver("127.0.0.1:0", sink, limits, in_flight=in_flight)
    sys.stdout.write(f"{grpc.start()} {http.start()}\n")
    sys.stdout.flush()
    sys.stdin.read()
    grpc.stop(1)
    http.stop(1)


if __name__ == "__main__":
    main()
