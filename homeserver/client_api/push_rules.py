"""Push rules.

Source: client-server API, "Push Rules: API".
"""

from homeserver.services.push.rules import PushRules
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix import push_rules
from matrix.errors import Unrecognized
from matrix.push_default_rules import KINDS, Kind
from matrix.push_rule_input import parse_actions, parse_enabled, parse_kind, parse_rule

RULES = "/pushrules/{scope}/{kind}/{rule_id}"


class PushRulesApi:
    def __init__(self, *, rules: PushRules) -> None:
        self._rules = rules

    @route("GET", *client("/pushrules"), *client("/pushrules/"))
    async def get_all(self, call: Call) -> Answer:
        return await self._rules.client_form(call.user.user_id)

    @route("GET", *client("/pushrules/{scope}"), *client("/pushrules/{scope}/"))
    async def get_scope(self, call: Call, scope: str) -> Answer:
        _check_scope(scope)
        rules: dict[str, object] = (await self._rules.client_form(call.user.user_id))["global"]
        return rules

    @route("GET", *client(RULES))
    async def get_rule(self, call: Call, scope: str, kind: str, rule_id: str) -> Answer:
        _check_scope(scope)
        user_id = call.user.user_id
        return push_rules.get_rule(await self._rules.of(user_id), _kind_to_read(kind), rule_id, user_id)

    @route("PUT", *client(RULES))
    async def put_rule(self, call: Call, scope: str, kind: str, rule_id: str) -> Answer:
        _check_scope(scope)
        rule = parse_rule(parse_kind(kind), rule_id, call.raw_json())
        before, after = call.query.optional_text("before"), call.query.optional_text("after")
        await self._rules.change(
            call.user.user_id, lambda ruleset: push_rules.put_rule(ruleset, rule, before=before, after=after)
        )
        return {}

    @route("DELETE", *client(RULES))
    async def delete_rule(self, call: Call, scope: str, kind: str, rule_id: str) -> Answer:
        _check_scope(scope)
        parsed = parse_kind(kind)
        await self._rules.change(call.user.user_id, lambda ruleset: push_rules.delete_rule(ruleset, parsed, rule_id))
        return {}

    @route("GET", *client(f"{RULES}/{{attribute}}"))
    async def get_attribute(self, call: Call, scope: str, kind: str, rule_id: str, attribute: str) -> Answer:
        _check_attribute(scope, attribute)
        user_id = call.user.user_id
        rule = push_rules.get_rule(await self._rules.of(user_id), _kind_to_read(kind), rule_id, user_id)
        return {attribute: rule[attribute]}

    @route("PUT", *client(f"{RULES}/{{attribute}}"))
    async def put_attribute(self, call: Call, scope: str, kind: str, rule_id: str, attribute: str) -> Answer:
        _check_attribute(scope, attribute)
        parsed, body = parse_kind(kind), call.raw_json()
        if attribute == "enabled":
            enabled = parse_enabled(body)
            await self._rules.change(
                call.user.user_id, lambda ruleset: push_rules.set_enabled(ruleset, parsed, rule_id, enabled)
            )
        else:
            actions = parse_actions(body)
            await self._rules.change(
                call.user.user_id, lambda ruleset: push_rules.set_actions(ruleset, parsed, rule_id, actions)
            )
        return {}


def _kind_to_read(kind: str) -> Kind:
    """As in Synapse, a kind that is not known is not there to be read (404), and wrong to be written (400)."""
    if kind not in KINDS:
        raise Unrecognized(message=f"Unknown kind of push rule: {kind[:80]!r}")
    return parse_kind(kind)


def _check_scope(scope: str) -> None:
    if scope != "global":
        raise Unrecognized(message=f"Unknown scope {scope[:80]!r}")


def _check_attribute(scope: str, attribute: str) -> None:
    _check_scope(scope)
    if attribute not in ("enabled", "actions"):
        raise Unrecognized(message=f"Unknown attribute {attribute[:80]!r}")
