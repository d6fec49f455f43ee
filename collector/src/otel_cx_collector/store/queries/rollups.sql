-- Closed figures of one journey by equal steps of time, step of the journey, and value of one dimension.
SELECT
    toUInt32({from_s:UInt32} + intDiv(toUnixTimestamp(r.start) - {from_s:UInt32}, {step_s:UInt32}) * {step_s:UInt32}) AS start_s,
    r.step AS step,
    r.value AS value,
    sum(r.ok) AS ok,
    sum(r.failed) AS failed,
    sum(r.rejected) AS rejected,
    sum(r.cancelled) AS cancelled,
    sum(r.slow) AS slow,
    sum(r.ok_rows) AS ok_rows,
    sum(r.failed_rows) AS failed_rows,
    sum(r.rejected_rows) AS rejected_rows,
    sum(r.cancelled_rows) AS cancelled_rows,
    sum(r.slow_rows) AS slow_rows,
    sum(r.harm) AS harm,
    sum(r.started) AS started,
    sum(r.completed) AS completed,
    uniqCombined64Merge(14)(r.active) AS active,
    uniqCombined64Merge(14)(r.affected) AS affected,
    sumMap(r.latency) AS latency
FROM {table:Identifier} AS r FINAL
WHERE r.journey = {journey:String}
  AND r.dimension = {dimension:String}
  AND r.start >= {from_s:UInt32}
  AND r.start < {to_s:UInt32}
GROUP BY start_s, step, value
HAVING ok_rows + failed_rows + rejected_rows + cancelled_rows > 0
ORDER BY start_s, step, value
