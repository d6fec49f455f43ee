"""Delivery: one file a channel, templates, and the courier that empties the outbox. Decides nothing."""
