"""The Matrix specification as pure functions and frozen data: no I/O, no clock, no globals."""
