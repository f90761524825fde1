"""Rooms that other servers are in too: what they send, what of it is missing, and what makes their state."""
