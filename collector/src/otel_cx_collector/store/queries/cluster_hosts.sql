-- Servers of a cluster, as the server that is asked knows it; port is that of the native protocol.
SELECT toUInt32(shard_num) AS shard, host_name AS host, toUInt32(port) AS port
FROM system.clusters
WHERE cluster = {cluster:String}
ORDER BY shard_num, replica_num
