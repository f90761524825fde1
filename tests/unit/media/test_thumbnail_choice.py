"""Which thumbnail answers a request, and how an image is fitted to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.services.media.settings import ThumbnailSettings
from homeserver.services.media.thumbnail_choice import Box, Method, choose, fit

SIZES = ThumbnailSettings().sizes
SIDES = st.integers(min_value=1, max_value=20_000)
METHODS = st.sampled_from(["crop", "scale"])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Box(32, 32, "crop"), Box(32, 32, "crop")),
        (Box(33, 20, "crop"), Box(96, 96, "crop")),
        (Box(1, 1, "scale"), Box(320, 240, "scale")),
        (Box(320, 241, "scale"), Box(640, 480, "scale")),
        (Box(800, 600, "scale"), Box(800, 600, "scale")),
        (Box(800, 600, "scale", True), Box(800, 600, "scale", True)),
    ],
)
def test_the_smallest_of_the_operators_sizes_that_covers_it_is_taken(wanted: Box, expected: Box) -> None:
    assert choose(wanted, SIZES, dynamic=False) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Box(97, 97, "crop"), Box(128, 128, "crop")),
        (Box(300, 200, "crop"), Box(512, 342, "crop")),
        (Box(801, 1, "scale"), Box(1024, 2, "scale")),
    ],
)
def test_beyond_them_the_box_grows_to_a_power_of_two(wanted: Box, expected: Box) -> None:
    assert choose(wanted, SIZES, dynamic=False) == expected


def test_of_croppings_the_one_of_that_shape_is_taken() -> None:
    sizes = (Box(100, 100, "crop"), Box(160, 90, "crop"))
    assert choose(Box(80, 45, "crop"), sizes, dynamic=False) == Box(160, 90, "crop")


def test_dynamic_thumbnails_are_what_was_asked_for() -> None:
    assert choose(Box(33, 77, "crop"), SIZES, dynamic=True) == Box(33, 77, "crop")


@given(SIDES, SIDES, METHODS)
def test_the_box_is_never_smaller_than_what_was_asked_for(width: int, height: int, method: Method) -> None:
    wanted = Box(width, height, method)
    assert choose(wanted, SIZES, dynamic=False).covers(wanted)


@pytest.mark.parametrize(
    ("image", "box", "expected"),
    [
        ((1000, 1000), Box(320, 240, "scale"), (240, 240)),
        ((2000, 1000), Box(320, 240, "scale"), (320, 160)),
        ((1000, 1), Box(32, 32, "scale"), (32, 1)),
        ((1000, 500), Box(96, 96, "crop"), (96, 96)),
        ((1000, 50), Box(100, 100, "crop"), (50, 50)),
        ((1000, 1), Box(32, 32, "crop"), (1, 1)),
    ],
)
def test_an_image_is_fitted_to_the_box(image: tuple[int, int], box: Box, expected: tuple[int, int]) -> None:
    fitted = fit(*image, box)
    assert fitted is not None
    assert (fitted.width, fitted.height) == expected


@pytest.mark.parametrize("box", [Box(32, 32, "scale"), Box(32, 32, "crop"), Box(31, 12, "scale")])
def test_an_image_within_the_box_stays_as_it_is(box: Box) -> None:
    assert fit(31, 12, box) is None


@given(SIDES, SIDES, SIDES, SIDES, METHODS)
def test_nothing_is_enlarged_and_nothing_beyond_the_image_is_shown(
    width: int, height: int, box_width: int, box_height: int, method: Method
) -> None:
    fitted = fit(width, height, Box(box_width, box_height, method))
    if fitted is None:
        return
    left, top, right, bottom = fitted.region
    assert -1e-6 <= left < right <= width + 1e-6
    assert -1e-6 <= top < bottom <= height + 1e-6
    assert 1 <= fitted.width <= min(width, box_width)
    assert 1 <= fitted.height <= min(height, box_height)
