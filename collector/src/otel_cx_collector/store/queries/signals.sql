-- Levels of some resources by when they were measured, each once.
SELECT resource, instance, series, at_ns, value
FROM signals FINAL
WHERE resource IN {resources:Array(String)}
  AND second >= {from_s:UInt32}
  AND second <= {to_s:UInt32}
  AND at_ns >= {start_ns:Int64}
  AND at_ns < {end_ns:Int64}
