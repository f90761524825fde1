"""Fixtures of these tests."""

from tests.support.bridges import town

__all__ = ["town"]
