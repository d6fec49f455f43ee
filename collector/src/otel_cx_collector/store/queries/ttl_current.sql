-- The seconds of a table's TTL, '' for none.
SELECT extract(engine_full, 'TTL \\w+ \\+ toIntervalSecond\\((\\d+)\\)') AS seconds
FROM system.tables
WHERE database = currentDatabase() AND name = {table:String}
