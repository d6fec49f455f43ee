-- Executions of one journey by event time, each once. In no order: sorting here costs five times what it does outside.
SELECT
    environment, journey, minute, attempt, span_id, trace_id, end, duration_ns, step, outcome, recoverable, error_class,
    grade, customer, account, session, segment, plan, region, device, workflow, revenue_class, own, service,
    service_version, flags, amount, currency, weight, exact, version, toUnixTimestamp64Micro(s.inserted_at) AS inserted_at
FROM steps AS s FINAL
WHERE journey = {journey:String}
  AND environment IN {environments:Array(String)}
  AND minute >= {from_minute:UInt32}
  AND minute <= {to_minute:UInt32}
  AND end >= {start_ns:Int64}
  AND end < {end_ns:Int64}
