-- Facts by when they were inserted: a later text of one that was known already comes again.
SELECT
    id, at_ns, kind, journey, service, version, key, variant, account, due, arr, name, link, until_ns
FROM facts AS f FINAL
WHERE f.inserted_at > fromUnixTimestamp64Micro({after_us:Int64})
  AND f.inserted_at <= fromUnixTimestamp64Micro({to_us:Int64})
ORDER BY at_ns, id
