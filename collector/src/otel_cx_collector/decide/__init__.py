"""Decisions: three-valued predicates, and the tree of rules that turns them into a severity. Pure; performs nothing."""
