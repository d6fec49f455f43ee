-- Size of the store's tables; copies that no merge has met yet are counted.
SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts
FROM system.parts
WHERE database = currentDatabase() AND active AND table IN ('steps', 'heartbeats', 'facts', 'signals')
GROUP BY table
ORDER BY table
