-- Copies of levels by when they were inserted. Not FINAL, so that the index on inserted_at skips everything older.
SELECT resource, instance, series, at_ns, value
FROM signals AS s
WHERE s.inserted_at > fromUnixTimestamp64Micro({after_us:Int64})
  AND s.inserted_at <= fromUnixTimestamp64Micro({to_us:Int64})
