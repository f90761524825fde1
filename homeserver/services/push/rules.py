"""Push rules of users: read, changed, and compiled for judging events.

Source: client-server API, "Push Rules: API".
"""

from collections.abc import Callable
from typing import Any

from homeserver.runtime.caches import Lru
from homeserver.runtime.linearizer import Linearizer
from matrix.errors import BadRequest
from matrix.ids import UserId
from matrix.push_eval import Evaluator, compile_ruleset
from matrix.push_rules import EMPTY, Ruleset, client_form
from storage import push_rules
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.loader import Loader

# As Synapse has no limit, one that no person reaches.
MAX_RULES = 5_000
MAX_USERS = 50_000


class PushRules:
    def __init__(self, *, database: Database, committer: Committer, loader: Loader[str, Ruleset]) -> None:
        self._database = database
        self._committer = committer
        self._loader = loader
        self._rulesets: Lru[str, Ruleset] = Lru("push_rules", MAX_USERS)
        self._evaluators: Lru[str, Evaluator] = Lru("push_evaluators", MAX_USERS)
        self._default = compile_ruleset(EMPTY)
        self._changing = Linearizer()

    async def of(self, user_id: str) -> Ruleset:
        ruleset = self._rulesets.get(user_id)
        if ruleset is None:
            version = self._rulesets.version
            ruleset = await self._loader.load(user_id) or EMPTY
            self._rulesets.set_if_unchanged(user_id, ruleset, version)
        return ruleset

    async def client_form(self, user_id: UserId) -> dict[str, Any]:
        """The whole ruleset as clients know it: `{"global": {...}}`."""
        return client_form(await self.of(user_id), user_id)

    async def change(self, user_id: UserId, decide: Callable[[Ruleset], Ruleset]) -> None:
        """Puts what `decide` makes of the user's rules. Raises what `decide` raises."""
        async with self._changing.of(user_id):
            before = await self.of(user_id)
            ruleset = decide(before)
            if len(ruleset.rules) > max(MAX_RULES, len(before.rules)):
                raise BadRequest("Too many push rules", "M_UNKNOWN")
            change = Change()
            at = change.announce(Entry(Kind.PUSH_RULES, None, user_id, {}))
            change.put(push_rules.PUT, (user_id, push_rules.encode(ruleset), at))
            await self._committer(change)

    async def evaluator_of(self, user_id: str) -> Evaluator:
        """Users without rules of their own share one."""
        ruleset = await self.of(user_id)
        if ruleset == EMPTY:
            return self._default
        evaluator = self._evaluators.get(user_id)
        if evaluator is None:
            evaluator = compile_ruleset(ruleset)
            self._evaluators.set(user_id, evaluator)
        return evaluator

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.PUSH_RULES and entry.user_id is not None:
                self._rulesets.invalidate(entry.user_id)
                self._evaluators.invalidate(entry.user_id)
