-- What clusters the server that is asked knows.
SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster
