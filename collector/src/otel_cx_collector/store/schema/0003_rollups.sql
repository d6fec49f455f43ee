-- Minutes, hours and days that outlive the rows they were closed from. One row is one value of one dimension ('' and ''
-- for all executions) at one step ('' for the whole journey) in one span of time. Of several closings the latest stands.
-- Counts of executions: weights in units of 2^-20, and beside them raw ones. Harm in millionths of an execution.
-- Attempts are counted, by weight, where they started, completed ones too. Customers are states of 64-bit hashes.
CREATE TABLE IF NOT EXISTS rollup_1m
(
    journey LowCardinality(String),
    dimension LowCardinality(String),
    start DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    step LowCardinality(String),
    value LowCardinality(String),
    ok UInt64 CODEC(T64, ZSTD(1)),
    failed UInt64 CODEC(T64, ZSTD(1)),
    rejected UInt64 CODEC(T64, ZSTD(1)),
    cancelled UInt64 CODEC(T64, ZSTD(1)),
    slow UInt64 CODEC(T64, ZSTD(1)),
    ok_rows UInt64 CODEC(T64, ZSTD(1)),
    failed_rows UInt64 CODEC(T64, ZSTD(1)),
    rejected_rows UInt64 CODEC(T64, ZSTD(1)),
    cancelled_rows UInt64 CODEC(T64, ZSTD(1)),
    slow_rows UInt64 CODEC(T64, ZSTD(1)),
    harm UInt64 CODEC(T64, ZSTD(1)),
    started UInt64 CODEC(T64, ZSTD(1)),
    completed UInt64 CODEC(T64, ZSTD(1)),
    active AggregateFunction(uniqCombined64(14), UInt64),
    affected AggregateFunction(uniqCombined64(14), UInt64),
    latency Map(Int32, UInt64) CODEC(ZSTD(1)),
    as_of DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(as_of)
PARTITION BY toDate(start)
ORDER BY (journey, dimension, start, step, value)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

-- The same columns; hours and days are few, and a month of them goes together.
CREATE TABLE IF NOT EXISTS rollup_1h AS rollup_1m
ENGINE = ReplacingMergeTree(as_of)
PARTITION BY toYYYYMM(start)
ORDER BY (journey, dimension, start, step, value)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS rollup_1d AS rollup_1m
ENGINE = ReplacingMergeTree(as_of)
PARTITION BY toYYYYMM(start)
ORDER BY (journey, dimension, start, step, value)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    materialize_ttl_recalculate_only = 1;
