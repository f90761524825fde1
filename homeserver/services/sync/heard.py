"""Which of our answers a device has heard: it shows by coming with the position at which the answer ended.

An answer may be lost, and another process may give the next one: that a device comes with a later position proves
nothing. To take a heard answer for a lost one costs a repetition, the other way round a client never hears something.
"""

from attrs import define, field

from homeserver.runtime.caches import Lru

MAX_DEVICES = 50_000
MAX_LOST = 50


@define(eq=False)
class _Answers:
    """Ends of answers: `pending` since the device has asked the last time. Nothing at or below `floor` is known."""

    floor: int
    pending: set[int] = field(factory=set)
    lost: set[int] = field(factory=set)


class Heard:
    def __init__(self) -> None:
        self._answers: Lru[tuple[str, str], _Answers] = Lru("sync_answers_heard", MAX_DEVICES)

    def asked(self, device: tuple[str, str], since: int) -> None:
        """The device comes with this position."""
        answers = self._answers.get(device)
        if answers is None or not answers.pending:
            return
        answers.lost |= answers.pending - {since}
        answers.pending.clear()
        if len(answers.lost) > MAX_LOST:
            self._answers.set(device, _Answers(since))

    def will_answer(self, device: tuple[str, str], upto: int) -> None:
        """An answer that ends here has something in it that the device must have heard."""
        answers = self._answers.get(device)
        if answers is None:
            answers = _Answers(upto - 1)
            self._answers.set(device, answers)
        answers.pending.add(upto)

    def has(self, device: tuple[str, str], upto: int, since: int) -> bool:
        """Has a device that comes with `since` heard our answer that ended at `upto`?"""
        answers = self._answers.get(device)
        if answers is None or not answers.floor < upto <= since:
            return False
        return upto not in answers.lost and upto not in answers.pending - {since}
