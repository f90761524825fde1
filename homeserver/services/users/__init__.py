"""Accounts: registration, login, sessions, devices, profiles, and what users keep on the server."""
