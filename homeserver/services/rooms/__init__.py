"""Rooms: the one way in for events, and what is decided about rooms and their members."""
