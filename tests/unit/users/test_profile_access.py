"""Who may look up whose profile."""

import pytest

from homeserver.services.users.profile_access import ProfileAccess
from homeserver.services.users.settings import ProfileSettings
from homeserver.web.call import Requester
from matrix.errors import MatrixError
from matrix.ids import UserId

ALICE, BOB, EVE = UserId("@alice:a"), UserId("@bob:a"), UserId("@eve:a")


async def share_rooms(one: UserId, other: UserId) -> bool:
    return {one, other} == {ALICE, BOB}


async def fault(settings: ProfileSettings, requester: Requester | None, user_id: UserId) -> str | None:
    try:
        await ProfileAccess(settings=settings, is_visible=share_rooms)(requester, user_id)
    except MatrixError as error:
        return error.errcode
    return None


@pytest.mark.parametrize("requester", [None, Requester(user_id=EVE)])
async def test_everybody_may_by_default(requester: Requester | None) -> None:
    assert await fault(ProfileSettings(), requester, ALICE) is None


async def test_the_operator_may_ask_for_a_token() -> None:
    settings = ProfileSettings(require_auth=True)
    assert await fault(settings, None, ALICE) == "M_MISSING_TOKEN"
    assert await fault(settings, Requester(user_id=EVE), ALICE) is None


async def test_the_operator_may_ask_for_a_common_room() -> None:
    settings = ProfileSettings(only_who_share_rooms=True)
    assert await fault(settings, None, ALICE) == "M_MISSING_TOKEN"
    assert await fault(settings, Requester(user_id=BOB), ALICE) is None
    assert await fault(settings, Requester(user_id=EVE), ALICE) == "M_FORBIDDEN"
    assert await fault(settings, Requester(user_id=EVE), EVE) is None
    assert await fault(settings, Requester(user_id=EVE, is_admin=True), ALICE) is None
