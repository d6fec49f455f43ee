-- Into a store that has no tables yet; the engine takes no parameter for where from.
RESTORE DATABASE default FROM File(DIRECTORY)
