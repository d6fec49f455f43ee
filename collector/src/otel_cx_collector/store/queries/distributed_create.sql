-- A table over all shards. Copies of a row have one sharding key, so they meet on one shard, where FINAL finds them.
-- CREATE, SOURCE and SHARDING_KEY stand where the server takes no parameter.
CREATE {database:Identifier}.{table:Identifier} AS SOURCE
ENGINE = Distributed({cluster:String}, {shard_database:String}, {table:String}, cityHash64(SHARDING_KEY))
