-- Facts by when they happened, each once.
SELECT
    id, at_ns, kind, journey, service, version, key, variant, account, due, arr, name, link, until_ns
FROM facts FINAL
WHERE at_ns >= {start_ns:Int64}
  AND at_ns < {end_ns:Int64}
ORDER BY at_ns, id
