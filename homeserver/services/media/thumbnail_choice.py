"""Which thumbnail answers a request, and how an image is fitted to it. Pure.

Source: client-server API, "Thumbnails".
"""

from collections.abc import Sequence
from typing import Literal

from attrs import evolve, frozen

from homeserver.web.params import Fields

Method = Literal["crop", "scale"]
# No image has a longer side: more is the original.
MAX_SIDE = 32_768


@frozen
class Box:
    """What a thumbnail is fitted to. `crop` fills it, cutting off what stands out; `scale` stays within it."""

    width: int
    height: int
    method: Method
    animated: bool = False

    def covers(self, other: "Box") -> bool:
        return self.method == other.method and self.width >= other.width and self.height >= other.height


def read_box(query: Fields) -> Box:
    """The thumbnail that a query asks for. Raises: MissingParam, InvalidParam."""
    method: Method = "crop" if query.choice("method", ("crop", "scale"), "scale") == "crop" else "scale"
    return Box(
        query.integer("width", minimum=1, clamp=MAX_SIDE),
        query.integer("height", minimum=1, clamp=MAX_SIDE),
        method,
        query.boolean("animated", False),
    )


@frozen
class Fit:
    """The thumbnail's size, and the part of the image that it shows: left, top, right, bottom."""

    width: int
    height: int
    region: tuple[float, float, float, float]


def choose(wanted: Box, sizes: Sequence[Box], *, dynamic: bool) -> Box:
    """The box of the thumbnail to make or to give.

    Of the operator's sizes the one that Synapse takes: nearest in shape for crop, then nearest in size. Never one
    that is smaller than what was asked for, as Synapse does beyond its largest: the spec forbids it. The box is then
    grown to a power of two, so that a few thumbnails serve all requests.
    """
    if dynamic:
        return wanted
    covering = [size for size in sizes if size.covers(wanted)]
    if not covering:
        return _grown(wanted)
    best = min(covering, key=lambda size: (_difference_in_shape(size, wanted), size.width * size.height))
    return evolve(best, animated=wanted.animated)


def _difference_in_shape(size: Box, wanted: Box) -> int:
    if wanted.method == "scale":
        return 0
    return abs(wanted.width * size.height - wanted.height * size.width)


def _grown(wanted: Box) -> Box:
    longer = max(wanted.width, wanted.height)
    grown = 1 << (longer - 1).bit_length()
    # Rounded up: the other side must not become smaller than what was asked for.
    return evolve(wanted, width=-(-wanted.width * grown // longer), height=-(-wanted.height * grown // longer))


def fit(width: int, height: int, box: Box) -> Fit | None:
    """How an image of this size becomes a thumbnail; None if it is to be given as it is: nothing is ever enlarged."""
    if width <= box.width and height <= box.height:
        return None
    if box.method == "scale":
        if box.width * height < box.height * width:
            size = box.width, max(1, box.width * height // width)
        else:
            size = max(1, box.height * width // height), box.height
        return Fit(*size, (0, 0, width, height))
    shrink = min(1.0, width / box.width, height / box.height)
    size = max(1, round(box.width * shrink)), max(1, round(box.height * shrink))
    scale = min(width / size[0], height / size[1])
    left, top = (width - size[0] * scale) / 2, (height - size[1] * scale) / 2
    return Fit(*size, (left, top, width - left, height - top))
