-- What was closed, and as of when, in microseconds.
SELECT r.journey AS journey, toUnixTimestamp(r.start) AS start_s, toUnixTimestamp64Micro(max(r.as_of)) AS at_us
FROM {table:Identifier} AS r
WHERE r.dimension = ''
  AND r.step = ''
  AND r.start >= {from_s:UInt32}
GROUP BY journey, start_s
