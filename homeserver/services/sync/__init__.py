"""Sync: what happened since a position, for one device of one user."""
