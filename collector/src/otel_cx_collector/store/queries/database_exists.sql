SELECT count() AS found FROM system.databases WHERE name = {database:String}
