-- Copies of executions of one journey by when they were inserted. Not FINAL: a copy that lost is the reader's to drop,
-- and the index on inserted_at then skips everything older.
SELECT
    environment, journey, minute, attempt, span_id, trace_id, end, duration_ns, step, outcome, recoverable, error_class,
    grade, customer, account, session, segment, plan, region, device, workflow, revenue_class, own, service,
    service_version, flags, amount, currency, weight, exact, version, toUnixTimestamp64Micro(s.inserted_at) AS inserted_at
FROM steps AS s
WHERE journey = {journey:String}
  AND s.inserted_at > fromUnixTimestamp64Micro({after_us:Int64})
  AND s.inserted_at <= fromUnixTimestamp64Micro({to_us:Int64})
