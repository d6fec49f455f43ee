-- The seconds of a table's TTL, '' for none; a bound number stands there as _CAST(691200, 'UInt32').
SELECT extract(engine_full, 'TTL \\w+ \\+ toIntervalSecond\\(\\D*(\\d+)') AS seconds
FROM system.tables
WHERE database = currentDatabase() AND name = {table:String}
