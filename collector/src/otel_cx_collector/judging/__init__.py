"""One slice boundary of every journey: measure, decide, incidents, and what follows. Performs no effect."""
