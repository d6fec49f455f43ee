-- One row is one execution of one step. Copies of an execution have the same sorting key and meet in one partition, and
-- the one with the highest version survives, so sending a row again, from anywhere, changes nothing.
-- A part is written to the disk before the insert returns: after that the log forgets its rows.
CREATE TABLE IF NOT EXISTS steps
(
    environment LowCardinality(String),
    journey LowCardinality(String),
    minute DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    attempt String CODEC(ZSTD(1)),
    span_id FixedString(8),
    trace_id FixedString(16),
    end Int64 CODEC(Delta, ZSTD(1)),
    duration_ns Int64 CODEC(T64, ZSTD(1)),
    step LowCardinality(String),
    outcome LowCardinality(String),
    recoverable Bool,
    error_class LowCardinality(String),
    grade LowCardinality(String),
    customer String CODEC(ZSTD(1)),
    account String CODEC(ZSTD(1)),
    session String CODEC(ZSTD(1)),
    segment LowCardinality(String),
    plan LowCardinality(String),
    region LowCardinality(String),
    device LowCardinality(String),
    workflow LowCardinality(String),
    revenue_class LowCardinality(String),
    own Map(String, String) CODEC(ZSTD(1)),
    service LowCardinality(String),
    service_version LowCardinality(String),
    flags Map(String, String) CODEC(ZSTD(1)),
    amount String CODEC(ZSTD(1)),
    currency LowCardinality(String),
    weight UInt64 CODEC(ZSTD(1)),
    exact Bool,
    version UInt64,
    inserted_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX inserted inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(minute)
ORDER BY (environment, journey, minute, attempt, span_id)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

-- The slices a node has reported for: what coverage is counted from.
CREATE TABLE IF NOT EXISTS heartbeats
(
    node LowCardinality(String),
    slice DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(slice)
ORDER BY (slice, node)
SETTINGS
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;
