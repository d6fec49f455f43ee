-- Each node's slices in a span of time, each once.
SELECT node, toUnixTimestamp(slice) AS slice_s
FROM heartbeats FINAL
WHERE slice >= {start_s:UInt32}
  AND slice < {end_s:UInt32}
ORDER BY node, slice
