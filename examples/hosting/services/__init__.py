"""The company's own services, one process each. Not the people who use them: those are in `traffic`."""
