"""`hearth`, also as `python -m homeserver`: the one place that chooses the reactor."""

import importlib
import sys
from typing import TYPE_CHECKING

from homeserver.runtime import garbage

if TYPE_CHECKING:
    from homeserver.cli.reactor import Reactor


def the_reactor(*, for_asyncio: bool = False) -> "Reactor":
    """Twisted's reactor, the one for many sockets: epoll on Linux, kqueue on macOS and BSD. Imported on first use."""
    if "twisted.internet.reactor" not in sys.modules:
        kind = "epollreactor" if sys.platform.startswith("linux") else "kqreactor"
        importlib.import_module(f"twisted.internet.{'asyncioreactor' if for_asyncio else kind}").install()
    from twisted.internet import reactor  # noqa: TID251  the one place

    return reactor  # type: ignore[return-value]  # a module that is an object since install()


def main() -> None:
    # Before all else is imported: the collector would look through it again and again, and find nothing.
    garbage.look_seldom()
    from homeserver.cli.commands import hearth

    hearth(prog_name="hearth", obj=the_reactor)


if __name__ == "__main__":
    main()
