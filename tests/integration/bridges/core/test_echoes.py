"""What the bridge itself wrote comes back from the network: of that only the mark is kept, up to where all was seen."""

import pytest
import pytest_twisted

from appservice.bridges.core import history
from appservice.bridges.core.ids import ChannelId
from storage import bridges_marks as marks
from tests.integration.bridges.core.scenes import kept_deliveries, opened
from tests.support.bridges import Town
from tests.support.fake_service import until

inlined = pytest_twisted.ensureDeferred
C1 = ChannelId("C1")


@inlined
async def test_an_echo_is_not_kept_and_moves_the_mark(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MARK_EVERY", 2)
    alice, room = await opened(town)
    kept = kept_deliveries(monkeypatch)
    for text in ("one", "two"):
        await alice.send(room, text)
    await until(lambda: len(town.remote.messages("C1")) == 2)
    await until(lambda: town.remote.is_delivered)
    await town.parts.inbox.idle()
    assert kept == []
    mark = await town.parts.context.store.read(marks.find, C1)
    assert mark is not None and mark.message_id == town.remote.messages("C1")[-1].id


@inlined
async def test_an_echo_says_that_a_channel_is_back(town: Town) -> None:
    alice, room = await opened(town)
    await town.parts.portals.show(C1, gone="it was closed")
    await alice.send(room, "is anybody there?")
    await until(lambda: "gone" not in (town.parts.portals.of_channel(C1) or pytest.fail()).shown)
