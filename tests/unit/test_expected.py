"""What is known not to be here: for as long as somebody expects it, and not once it is here or may be."""

from matrix.ids import EventId
from storage.expected import Expected

ONE, TWO = EventId("$one"), EventId("$two")


def test_an_event_is_absent_while_it_is_expected() -> None:
    expected = Expected()
    with expected.these([ONE], ()):
        assert expected.is_absent(ONE) and expected.is_unreferred(ONE)
        assert not expected.is_absent(TWO) and not expected.is_unreferred(TWO)
    assert not expected.is_absent(ONE)


def test_two_may_expect_the_same_event() -> None:
    expected = Expected()
    with expected.these([ONE], ()):
        with expected.these([ONE, TWO], ()):
            pass
        assert expected.is_absent(ONE) and not expected.is_absent(TWO)
    assert not expected.is_absent(ONE)


def test_what_has_come_is_absent_for_nobody() -> None:
    expected = Expected()
    with expected.these([ONE], ()), expected.these([ONE], ()):
        expected.doubt(ONE)
        assert not expected.is_absent(ONE)
    assert not expected.is_absent(ONE)
    with expected.these([ONE], ()):
        assert expected.is_absent(ONE)


def test_what_others_name_is_not_unreferred() -> None:
    expected = Expected()
    with expected.these([ONE, TWO], {ONE}):
        assert expected.is_absent(ONE) and not expected.is_unreferred(ONE)
        expected.refer(TWO)
        assert expected.is_absent(TWO) and not expected.is_unreferred(TWO)


def test_what_is_named_just_before_the_look_ends_counts_too() -> None:
    expected = Expected()
    expected.refer(ONE)
    with expected.these([ONE], ()):
        assert not expected.is_unreferred(ONE)


def test_what_was_named_is_remembered_for_a_while_only() -> None:
    expected = Expected()
    expected.refer(ONE)
    for number in range(1_000):
        expected.refer(EventId(f"${number}"))
    with expected.these([ONE, EventId("$999")], ()):
        assert expected.is_unreferred(ONE) and not expected.is_unreferred(EventId("$999"))
