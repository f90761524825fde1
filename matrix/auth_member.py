"""The authorization rules for m.room.member.

`target` is the user whose membership the event sets: its state key.

Source: specification, "Room Versions", "Authorisation rules", on `m.room.member`.
"""

from collections.abc import Mapping
from typing import Any

from matrix.auth_needs import JOIN_RULES, invite_token
from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateMap
from matrix.power_levels import PowerLevels
from matrix.rule_numbers import refusal
from matrix.third_party_invites import is_signed_by_invite


def membership(state: StateMap, user_id: str) -> str | None:
    """The user's membership in this state; None, like "leave", for who never was there."""
    event = state.get(("m.room.member", user_id))
    return None if event is None else event.membership


def join_rule(state: StateMap) -> str:
    """The room's join rule; "invite" if it has none."""
    event = state.get(JOIN_RULES)
    rule = None if event is None else event.content.get("join_rule")
    return rule if isinstance(rule, str) else "invite"


def check_authorising_signature(event: Event) -> None:
    """Refuse a membership that says who authorised it without the signature of that user's server.

    Whether the signature is valid is not checked.

    Raises: AuthRuleFailed.
    """
    if event.type != "m.room.member" or not event.version.restricted_joins:
        return
    if "join_authorised_via_users_server" not in event.content:
        return
    user_id = event.content["join_authorised_via_users_server"]
    signatures = event.pdu.get("signatures")
    domain = user_id.partition(":")[2] if isinstance(user_id, str) else ""
    if not isinstance(signatures, dict) or not signatures.get(domain):
        raise _refusal(event, "authorised/signature", "the authorising user's server has not signed")


def check(event: Event, state: StateMap, create_event: Event, levels: PowerLevels) -> None:
    """Refuse a membership that this state does not allow.

    Raises: AuthRuleFailed.
    """
    if event.state_key is None or "membership" not in event.content:
        raise _refusal(event, "properties", "the event has no state key or no membership")
    match event.membership:
        case "join":
            _check_join(event, state, create_event, levels)
        case "invite":
            _check_invite(event, state, levels)
        case "leave":
            _check_leave(event, state, levels)
        case "ban":
            _check_ban(event, state, levels)
        case "knock" if event.version.knocking:
            _check_knock(event, state)
        case _:
            raise _refusal(event, "unknown", "the membership is not known")


def _check_join(event: Event, state: StateMap, create_event: Event, levels: PowerLevels) -> None:
    if event.prev_events == (create_event.event_id,) and event.state_key == _first_member(create_event):
        return
    if event.sender != event.state_key:
        raise _refusal(event, "join/sender", "nobody can join for another")
    before = membership(state, event.sender)
    if before == "ban":
        raise _refusal(event, "join/banned", "the sender is banned")
    rule = join_rule(state)
    if rule == "public":
        return
    if not _admits_members(event, rule):
        raise _refusal(event, "join/otherwise", f"the join rule {rule} lets nobody in")
    if before in ("join", "invite"):
        return
    if not _is_restricted(event, rule):
        raise _refusal(event, "join/otherwise", "the sender is not invited")
    if not _may_authorise(event, state, levels):
        raise _refusal(event, "join/restricted/authorised", "nobody who may invite has authorised the join")


def _first_member(create_event: Event) -> Any:
    """Who may join right after the create event: of several creators only its sender."""
    return create_event.sender if create_event.version.creator_is_sender else create_event.content.get("creator")


def _admits_members(event: Event, rule: str) -> bool:
    return rule == "invite" or (rule == "knock" and event.version.knocking) or _is_restricted(event, rule)


def _is_restricted(event: Event, rule: str) -> bool:
    if rule == "knock_restricted":
        return event.version.knock_restricted_joins
    return rule == "restricted" and event.version.restricted_joins


def _may_authorise(event: Event, state: StateMap, levels: PowerLevels) -> bool:
    user_id = event.content.get("join_authorised_via_users_server")
    if not isinstance(user_id, str) or membership(state, user_id) != "join":
        return False
    return levels.of_user(user_id) >= levels.invite


def _check_invite(event: Event, state: StateMap, levels: PowerLevels) -> None:
    if "third_party_invite" in event.content:
        _check_third_party_invite(event, state)
        return
    assert event.state_key is not None
    if membership(state, event.sender) != "join":
        raise _refusal(event, "invite/sender", "the sender is not in the room")
    if membership(state, event.state_key) in ("join", "ban"):
        raise _refusal(event, "invite/target", "the target is in the room, or banned")
    if levels.of_user(event.sender) < levels.invite:
        raise _refusal(event, "invite/otherwise", "the sender may not invite")


def _check_third_party_invite(event: Event, state: StateMap) -> None:
    assert event.state_key is not None
    if membership(state, event.state_key) == "ban":
        raise _refusal(event, "invite/third_party/banned", "the target is banned")
    signed = _signed(event.content["third_party_invite"])
    if signed is None:
        raise _refusal(event, "invite/third_party/signed", "the third-party invite has nothing signed")
    if "mxid" not in signed or "token" not in signed:
        raise _refusal(event, "invite/third_party/properties", "mxid or token is missing")
    if signed["mxid"] != event.state_key:
        raise _refusal(event, "invite/third_party/mxid", "the third-party invite is another user's")
    token = invite_token(event.content)
    invite = None if token is None else state.get(("m.room.third_party_invite", token))
    if invite is None:
        raise _refusal(event, "invite/third_party/token", "the room has no such third-party invite")
    if invite.sender != event.sender:
        raise _refusal(event, "invite/third_party/sender", "the third-party invite is another sender's")
    if not is_signed_by_invite(signed, invite.content):
        raise _refusal(event, "invite/third_party/otherwise", "no key of the third-party invite has signed")


def _signed(third_party_invite: Any) -> Mapping[str, Any] | None:
    signed = third_party_invite.get("signed") if isinstance(third_party_invite, dict) else None
    return signed if isinstance(signed, dict) else None


def _check_leave(event: Event, state: StateMap, levels: PowerLevels) -> None:
    target = event.state_key
    assert target is not None
    if event.sender == target:
        leavable = ("invite", "join", "knock") if event.version.knocking else ("invite", "join")
        if membership(state, target) not in leavable:
            raise _refusal(event, "leave/self", "the sender has nothing to leave")
        return
    if membership(state, event.sender) != "join":
        raise _refusal(event, "leave/sender", "the sender is not in the room")
    sender_level = levels.of_user(event.sender)
    if membership(state, target) == "ban" and sender_level < levels.ban:
        raise _refusal(event, "leave/banned", "the sender may not lift a ban")
    if sender_level < levels.kick or levels.of_user(target) >= sender_level:
        raise _refusal(event, "leave/otherwise", "the sender may not kick the target")


def _check_ban(event: Event, state: StateMap, levels: PowerLevels) -> None:
    assert event.state_key is not None
    if membership(state, event.sender) != "join":
        raise _refusal(event, "ban/sender", "the sender is not in the room")
    sender_level = levels.of_user(event.sender)
    if sender_level < levels.ban or levels.of_user(event.state_key) >= sender_level:
        raise _refusal(event, "ban/otherwise", "the sender may not ban the target")


def _check_knock(event: Event, state: StateMap) -> None:
    rule = join_rule(state)
    if rule != "knock" and not (rule == "knock_restricted" and event.version.knock_restricted_joins):
        raise _refusal(event, "knock/join_rule", "the join rule does not allow to knock")
    if event.sender != event.state_key:
        raise _refusal(event, "knock/sender", "nobody can knock for another")
    if membership(state, event.sender) in ("ban", "invite", "join"):
        raise _refusal(event, "knock/otherwise", "the sender is banned, invited or in the room")


def _refusal(event: Event, path: str, reason: str) -> AuthRuleFailed:
    return refusal(event.version, "member/" + path, reason)
