"""What only its owner may see and change."""

from homeserver.web.call import Call
from matrix.errors import Forbidden
from matrix.ids import UserId


def check_own(call: Call, user_id: UserId) -> None:
    """Raises: Forbidden unless the requester is the user in the path."""
    if user_id != call.user.user_id:
        raise Forbidden("This belongs to another user")
