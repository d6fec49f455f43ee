-- The clock that inserts are stamped by.
SELECT toUnixTimestamp64Micro(now64(6)) AS now_us
