"""Events as clients get them.

Source: client-server API, "Room event format", "Stripped state"; room version 11, "Moving the `redacts` property".
"""

from matrix.events import Event, Json


def client_event(event: Event, *, room_id: bool = True, unsigned: Json | None = None) -> Json:
    """The event in the client format, a new dict; `room_id` is left out in a sync answer, whose keys say it.

    A redaction says what it redacts both at the top level, for older clients, and in `content`, for newer ones, in
    every room version. `unsigned` is put in as it is, if it is not empty.
    """
    formatted: Json = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "sender": event.sender,
        "type": event.type,
    }
    if room_id:
        formatted["room_id"] = event.room_id
    if event.state_key is not None:
        formatted["state_key"] = event.state_key
    if event.redacts is not None:
        formatted["redacts"] = event.redacts
        formatted["content"] = {**event.content, "redacts": event.redacts}
    if unsigned:
        formatted["unsigned"] = unsigned
    return formatted


def stripped_state(event: Event) -> Json:
    """What someone outside the room may see of a state event: content, sender, state key and type.

    Source: client-server API, "Stripped state".
    """
    return {"content": event.content, "sender": event.sender, "state_key": event.key[1], "type": event.type}
