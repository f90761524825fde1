"""Slack's mrkdwn and blocks <-> Matrix HTML. Pure functions; nodes.py is what both sides become in between."""
