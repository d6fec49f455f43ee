-- The columns and the sorting key of a database's tables.
SELECT t.name AS table, t.sorting_key AS sorting_key, c.columns AS columns
FROM system.tables AS t
INNER JOIN
(
    SELECT table, arrayStringConcat(arraySort(groupArray(format('{} {} {}', leftPad(toString(position), 4, '0'), name, type))), ',') AS columns
    FROM system.columns
    WHERE database = {database:String}
    GROUP BY table
) AS c ON c.table = t.name
WHERE t.database = {database:String}
ORDER BY t.name
