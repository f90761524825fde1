"""Complement without containers: processes of Hearth behind the parts of Docker's Engine API that Complement calls."""

# What Complement asks for when it asks for a new server.
BASE_IMAGE = "hearth"
