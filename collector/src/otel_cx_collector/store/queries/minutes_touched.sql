-- Minutes in which rows were inserted, and when that was last, in microseconds: what is to be closed, or closed again.
-- Not FINAL: a copy that lost costs one closing more, and the index on inserted_at skips everything older.
SELECT s.journey AS journey, toUnixTimestamp(s.minute) AS start_s, toUnixTimestamp64Micro(max(s.inserted_at)) AS at_us
FROM steps AS s
WHERE s.environment IN {environments:Array(String)}
  AND s.inserted_at > fromUnixTimestamp64Micro({after_us:Int64})
  AND s.inserted_at <= fromUnixTimestamp64Micro({to_us:Int64})
GROUP BY journey, start_s
