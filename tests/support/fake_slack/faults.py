"""What a test makes go wrong."""

from attrs import define, field


@define
class Failure:
    """The next `times` calls: refused with `error` or a bare HTTP `status`, or cut off (before or after the deed)."""

    times: int
    error: str | None = None
    status: int = 200
    retry_after: int | None = None
    cut: str | None = None
    fields: dict[str, str] = field(factory=dict)


class Faults:
    """`fail("chat.postMessage", error="channel_not_found")`; "*" is every method."""

    def __init__(self) -> None:
        self._by_method: dict[str, list[Failure]] = {}
        # Envelopes and requests that are delivered twice, under the same event id.
        self.doubled = 0

    def fail(self, method: str, times: int = 1, **how: object) -> None:
        self._by_method.setdefault(method, []).append(Failure(times, **how))  # type: ignore[arg-type]

    def mend(self) -> None:
        self._by_method.clear()

    def is_left(self, method: str) -> bool:
        """Is there a failure of the method that has not come yet?"""
        return any(each.times > 0 for each in self._by_method.get(method, ()))

    def next_for(self, method: str) -> Failure | None:
        for name in (method, "*"):
            waiting = self._by_method.get(name, [])
            while waiting and waiting[0].times <= 0:
                waiting.pop(0)
            if waiting:
                waiting[0].times -= 1
                return waiting[0]
        return None

    def takes_double(self) -> bool:
        if self.doubled <= 0:
            return False
        self.doubled -= 1
        return True
