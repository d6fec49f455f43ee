"""Pure functions from step rows to figures: SLIs, episodes, score."""
