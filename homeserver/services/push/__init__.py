"""Push: which events a user wants to be told of, and how many are unread."""
