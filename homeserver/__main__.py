"""`hearth`, also as `python -m homeserver`: the one place that chooses the reactor."""

import sys

from homeserver.cli.commands import hearth
from homeserver.cli.reactor import Reactor


def the_reactor() -> Reactor:
    """Twisted's reactor, the one for many sockets: epoll on Linux, kqueue on macOS and BSD. Imported on first use."""
    if "twisted.internet.reactor" not in sys.modules:
        if sys.platform.startswith("linux"):
            from twisted.internet import epollreactor as chosen
        else:
            from twisted.internet import kqreactor as chosen
        chosen.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor  # noqa: TID251  the one place

    return reactor  # type: ignore[return-value]  # a module that is an object since install()


def main() -> None:
    hearth(prog_name="hearth", obj=the_reactor)


if __name__ == "__main__":
    main()
