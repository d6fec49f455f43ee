-- What is stored by event time, for the page that shows what is mapped.
SELECT environment, journey, step, service, grade, count() AS rows, max(end) AS last_end_ns
FROM steps FINAL
WHERE minute >= {from_minute:UInt32}
  AND minute <= {to_minute:UInt32}
  AND end >= {start_ns:Int64}
  AND end < {end_ns:Int64}
GROUP BY environment, journey, step, service, grade
ORDER BY environment, journey, step, service, grade
