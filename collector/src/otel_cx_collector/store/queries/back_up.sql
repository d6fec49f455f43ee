-- The parts as they are now, of every table; the engine takes no parameter for where.
BACKUP DATABASE default TO File(DIRECTORY)
