"""Incidents: one a journey and episode, a state machine as a table, and a record that keeps its history. Pure."""
