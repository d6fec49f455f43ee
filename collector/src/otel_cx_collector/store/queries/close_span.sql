-- Closes one hour or day of one journey from the roll-ups below it. Their zeros go along, so that of every key the latest stands.
INSERT INTO {into:Identifier}
SELECT
    journey,
    dimension,
    toDateTime({start_s:UInt32}, 'UTC') AS start,
    step,
    value,
    sum(r.ok),
    sum(r.failed),
    sum(r.rejected),
    sum(r.cancelled),
    sum(r.slow),
    sum(r.ok_rows),
    sum(r.failed_rows),
    sum(r.rejected_rows),
    sum(r.cancelled_rows),
    sum(r.slow_rows),
    sum(r.harm),
    sum(r.started),
    sum(r.completed),
    uniqCombined64MergeState(14)(r.active),
    uniqCombined64MergeState(14)(r.affected),
    sumMap(r.latency),
    fromUnixTimestamp64Micro({as_of:Int64})
FROM {parts:Identifier} AS r FINAL
WHERE r.journey = {journey:String}
  AND r.start >= {start_s:UInt32}
  AND r.start < {end_s:UInt32}
GROUP BY journey, dimension, step, value
