-- Closes minutes of one hour of one journey from its rows, those of the hours around it included: they say which attempt
-- an execution belongs to, whose it is, and whether it was made good. The meaning is that of measure/columns.py.
--
-- What an earlier closing has and this one has not becomes zero, so that of every key the latest row stands.
INSERT INTO rollup_1m
WITH
    toInt64(9223372036854775807) AS never,
    executions AS
    (
        SELECT
            s.minute AS minute,
            sipHash64(s.attempt) AS key,
            s.end AS end,
            s.span_id AS span_id,
            s.step AS step,
            toUInt8(indexOf({steps:Array(String)}, toString(s.step))) AS position,
            s.outcome AS outcome,
            s.grade IN ('session', 'customer') AS loose,
            s.customer AS customer,
            s.session AS session,
            s.duration_ns AS duration_ns,
            s.weight AS weight,
            s.outcome = 'ok' AND s.step IN {terminal:Array(String)} AS done,
            {slow_after:Array(Int64)}[position] AS slow_after,
            s.outcome = 'ok' AND s.duration_ns > slow_after AS slow,
            arrayExists(w -> s.end >= w.1 AND s.end < w.2, {maintenance:Array(Tuple(Int64, Int64))}) AS maintained,
            arrayConcat(
                [
                    ('', ''),
                    ('segment', toString(s.segment)),
                    ('plan', toString(s.plan)),
                    ('region', toString(s.region)),
                    ('device', toString(s.device)),
                    ('workflow', toString(s.workflow)),
                    ('revenue_class', toString(s.revenue_class))
                ],
                arrayMap(name -> (name, if(mapContains(s.own, name), s.own[name], 'unset')), {own:Array(String)})
            ) AS marginals
        FROM steps AS s FINAL
        WHERE s.journey = {journey:String}
          AND s.environment IN {environments:Array(String)}
          AND s.minute >= {from_s:UInt32}
          AND s.minute < {to_s:UInt32}
          AND s.step IN {steps:Array(String)}
          AND s.attempt GLOBAL IN
          (
              SELECT seen.attempt
              FROM steps AS seen
              WHERE seen.journey = {journey:String}
                AND seen.environment IN {environments:Array(String)}
                AND seen.minute IN {minutes:Array(UInt32)}
          )
    ),
    -- A key that is a session or a customer is cut after silence, and where the first step follows a completion. The
    -- executions between two that may begin an attempt are a segment; one that begins at the first step begins an
    -- attempt when the segment before it was completed.
    marked AS
    (
        SELECT *, row_number() OVER w = 1 AS earliest, loose AND end - lagInFrame(end, 1, end) OVER w > {timeout:Int64} AS silent
        FROM executions
        WINDOW w AS (PARTITION BY key ORDER BY end, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    segmented AS
    (
        SELECT *, sum(silent OR position = 1) OVER w AS segment
        FROM marked
        WINDOW w AS (PARTITION BY key ORDER BY end, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    completed_before AS
    (
        SELECT *, max(done) OVER (PARTITION BY key ORDER BY segment RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING) AS again
        FROM segmented
    ),
    cut AS
    (
        SELECT
            *,
            earliest OR silent OR (loose AND position = 1 AND again) AS begins,
            sum(earliest OR silent OR (loose AND position = 1 AND again)) OVER w AS run
        FROM completed_before
        WINDOW w AS (PARTITION BY key ORDER BY end, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    joined AS
    (
        SELECT
            *,
            max(done) OVER attempt AS completes,
            min(if(customer = '', NULL, sipHash64('customer', customer))) OVER attempt AS by_customer,
            min(if(session = '', NULL, sipHash64('session', session))) OVER attempt AS by_session,
            sipHash64('attempt', key, min(end) OVER attempt) AS by_attempt,
            min(if(outcome = 'ok', end, never)) OVER following AS good_at
        FROM cut
        WINDOW
            attempt AS (PARTITION BY key, run),
            following AS (
                PARTITION BY key, run, step ORDER BY end, span_id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            )
    ),
    judged AS
    (
        SELECT
            *,
            assumeNotNull(coalesce(by_customer, by_session, by_attempt)) AS unit,
            (outcome = 'failed' OR slow) AND NOT maintained AS hurts,
            toUInt64(multiIf(
                maintained, 0,
                outcome = 'failed', if(good_at > end AND good_at - end <= {recovery:Int64}, 300000, 1000000),
                slow, round(
                    1e6 * least({max_slow:Float64}, {per_second:Float64} * (toFloat64(duration_ns - slow_after) / 1e9))
                ),
                0
            )) AS h,
            -- Bucket of measure/histogram.py: the logarithm may round, the edges say on which side a value lies.
            toFloat64(greatest(duration_ns, 1)) AS nanoseconds,
            toInt32(ceil(log2(nanoseconds) * 64)) - 1 AS near,
            near
                + (nanoseconds > {edges:Array(Float64)}[positiveModulo(near + 1, 64) + 1] * exp2(floor((near + 1) / 64)))
                AS above,
            toInt32(
                above - (nanoseconds <= {edges:Array(Float64)}[positiveModulo(above, 64) + 1] * exp2(floor(above / 64)))
            ) AS bucket
        FROM joined
        WHERE minute IN {minutes:Array(UInt32)}
    ),
    counted AS
    (
        SELECT
            marginal.1 AS dimension,
            minute AS start,
            place AS step,
            marginal.2 AS value,
            sumIf(weight, outcome = 'ok') AS ok,
            sumIf(weight, outcome = 'failed') AS failed,
            sumIf(weight, outcome = 'rejected') AS rejected,
            sumIf(weight, outcome = 'cancelled') AS cancelled,
            sumIf(weight, j.slow) AS slow,
            countIf(outcome = 'ok') AS ok_rows,
            countIf(outcome = 'failed') AS failed_rows,
            countIf(outcome = 'rejected') AS rejected_rows,
            countIf(outcome = 'cancelled') AS cancelled_rows,
            countIf(j.slow) AS slow_rows,
            sum(h) AS harm,
            sumIf(weight, begins) AS started,
            sumIf(weight, begins AND completes) AS completed,
            uniqCombined64State(14)(unit) AS active,
            uniqCombined64StateIf(14)(unit, hurts) AS affected,
            sumMapIf(map(bucket, weight), outcome = 'ok') AS latency
        FROM judged AS j
        ARRAY JOIN marginals AS marginal
        ARRAY JOIN [toString(j.step), ''] AS place
        GROUP BY dimension, start, step, value
    ),
    -- The first of these says that the minute was closed, also where nothing in it counts.
    known AS
    (
        SELECT '' AS dimension, toDateTime(arrayJoin({minutes:Array(UInt32)}), 'UTC') AS start, '' AS step, '' AS value
        UNION ALL
        SELECT r.dimension, r.start, r.step, r.value
        FROM rollup_1m AS r
        WHERE r.journey = {journey:String} AND r.start IN {minutes:Array(UInt32)}
    )
SELECT
    {journey:String} AS journey,
    dimension,
    start,
    step,
    value,
    sum(b.ok),
    sum(b.failed),
    sum(b.rejected),
    sum(b.cancelled),
    sum(b.slow),
    sum(b.ok_rows),
    sum(b.failed_rows),
    sum(b.rejected_rows),
    sum(b.cancelled_rows),
    sum(b.slow_rows),
    sum(b.harm),
    sum(b.started),
    sum(b.completed),
    uniqCombined64MergeState(14)(b.active),
    uniqCombined64MergeState(14)(b.affected),
    sumMap(b.latency),
    fromUnixTimestamp64Micro({as_of:Int64})
FROM
(
    SELECT
        dimension, start, step, value, ok, failed, rejected, cancelled, slow, ok_rows, failed_rows, rejected_rows,
        cancelled_rows, slow_rows, harm, started, completed, active, affected, latency
    FROM counted
    UNION ALL
    SELECT
        dimension, start, step, value, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        arrayReduce('uniqCombined64State(14)', emptyArrayUInt64()), arrayReduce('uniqCombined64State(14)', emptyArrayUInt64()),
        CAST(map(), 'Map(Int32, UInt64)')
    FROM known
) AS b
GROUP BY dimension, start, step, value
