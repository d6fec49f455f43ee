-- Which files of schema/ have been applied.
CREATE TABLE IF NOT EXISTS schema_version
(
    version UInt32,
    applied_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
