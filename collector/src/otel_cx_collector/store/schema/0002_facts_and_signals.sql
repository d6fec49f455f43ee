-- One row is one fact. Of several with one id the one that was inserted last survives. Few rows, whose time may change
-- from one text to the next: one partition, so that they meet.
CREATE TABLE IF NOT EXISTS facts
(
    id String CODEC(ZSTD(1)),
    at_ns Int64,
    kind LowCardinality(String),
    journey LowCardinality(String),
    service LowCardinality(String),
    version String CODEC(ZSTD(1)),
    key LowCardinality(String),
    variant LowCardinality(String),
    account String CODEC(ZSTD(1)),
    due String CODEC(ZSTD(1)),
    arr String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    link String CODEC(ZSTD(1)),
    until_ns Int64,
    second DateTime('UTC'),
    inserted_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY id
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    materialize_ttl_recalculate_only = 1;

-- One row is one metric point that says how full a resource is; `second` is the one that holds it.
CREATE TABLE IF NOT EXISTS signals
(
    resource LowCardinality(String),
    instance LowCardinality(String),
    series LowCardinality(String),
    at_ns Int64 CODEC(Delta, ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    second DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    inserted_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX inserted inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(inserted_at)
PARTITION BY toDate(second)
ORDER BY (resource, instance, series, at_ns)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;
