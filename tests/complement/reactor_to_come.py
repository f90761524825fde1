"""Stands for the reactor in a process that only imports, and forks.

A reactor holds descriptors that processes must not share: each makes its own after the fork. Modules that imported this
one by then (twisted.mail.smtp does, when it is imported) reach that through it.
"""

import sys
from typing import Any

_NAME = "twisted.internet.reactor"


class _ReactorToCome:
    def __getattr__(self, name: str) -> Any:
        reactor = sys.modules.get(_NAME)
        if reactor is None or reactor is self or name.startswith("__"):
            raise AttributeError(f"{name}: there is no reactor before the fork")
        return getattr(reactor, name)


def make_way() -> None:
    """The reactor may be installed."""
    del sys.modules[_NAME]


if _NAME in sys.modules:
    raise ImportError("the reactor has been imported already")
sys.modules[_NAME] = _ReactorToCome()  # type: ignore[assignment]
