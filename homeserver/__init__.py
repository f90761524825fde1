"""The homeserver: edges, services, and the house around them."""

# Also the version of the package (pyproject.toml reads it here) and of what other servers are told.
VERSION = "0.1.0"
