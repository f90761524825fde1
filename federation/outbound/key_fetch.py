"""Asking for signing keys: the server itself, and notaries that have asked it before.

A few servers are asked themselves first: nobody learns whom we talk to. Of many (a large room is joined) the notaries
are asked first, a hundred servers a question, since half of them may be gone for good. What nobody can tell is not
asked again for a while: whoever writes a request can put any name and key id into it.

Source: server-server API, "Retrieving server keys".
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen
from nacl.signing import VerifyKey
from twisted.internet.defer import DeferredSemaphore, gatherResults

from federation.outbound.errors import BadAnswer, RemoteError, Unreachable
from federation.outbound.transport import Terms, Transport
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock, as_deferred
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.ratelimit import RateLimit
from matrix.errors import BadSignature, LimitExceeded
from matrix.ids import ServerName
from matrix.server_keys import KeyAnswer, check_notary_signature, read_key_answer

logger = logging.getLogger(__name__)

# For each server the keys wanted, and until when each must be valid (ms; 0 for any time).
Wanted = Mapping[ServerName, Mapping[str, int]]
Answers = dict[ServerName, KeyAnswer]

# More servers than this are asked for at the notaries first.
FEW = 5
NOTARY_BATCH = 100
MAX_AT_ONCE = 50
# For all servers that are asked themselves together; who has not answered by then counts as gone.
DIRECT_S = 30.0
# A server that could not tell is asked again after so long.
FAILED_S = 60.0
MAX_REMEMBERED = 20_000
NOTARY_KEYS_S = 3600.0
# A few questions at once (a key is rotated while we talk), then one in twenty seconds.
QUESTIONS_PER_S, QUESTIONS_AT_ONCE = 0.05, 5

# A server may have a firewall where .well-known is looked for first: that takes ten seconds the first time.
_DIRECT = Terms(timeout_s=20.0, max_bytes=256 * 1024, is_signed=False, retries=0)
_FROM_NOTARY = Terms(timeout_s=20.0, max_bytes=16 << 20, is_signed=False, retries=1, is_repeatable=True)


@frozen(kw_only=True)
class Notary:
    """A server that tells keys of others. `verify_keys`: what it signs with; None: as it says itself, over TLS."""

    server_name: ServerName
    verify_keys: Mapping[str, VerifyKey] | None = None


@frozen
class _How:
    since: int
    is_speaking: bool


class KeyFetch:
    def __init__(self, *, transport: Transport, clock: Clock, notaries: tuple[Notary, ...] = ()) -> None:
        self._transport = transport
        self._clock = clock
        self._notaries = notaries
        self._one_at_a_time = Linearizer(max_waiting=1000)
        self._semaphore = DeferredSemaphore(MAX_AT_ONCE)
        self._fetched: Lru[ServerName, tuple[int, KeyAnswer]] = Lru("fetched_keys", 1_000)
        self._fetch_count = 0
        self._silent: Lru[ServerName, bool] = Lru("silent_about_keys", MAX_REMEMBERED, clock, FAILED_S)
        self._notary_keys: Lru[ServerName, Mapping[str, VerifyKey]] = Lru("notary_keys", 100, clock, NOTARY_KEYS_S)
        self._failed: Lru[ServerName, bool] = Lru("failed_keys", MAX_REMEMBERED, clock, FAILED_S)
        self._questions = RateLimit(QUESTIONS_PER_S, QUESTIONS_AT_ONCE, clock)

    @property
    def count(self) -> int:
        """How many answers there were so far: what came after this number is news to whoever has looked before."""
        return self._fetch_count

    async def fetch(self, wanted: Wanted, *, since: int, is_speaking: bool = False, notaries: bool = True) -> Answers:
        """What could be had of the keys wanted, and what else came with them.

        `since`: the `count` when the caller looked for what is stored; what was fetched after that is not asked again.
        `is_speaking`: the servers are speaking to us, so they are asked even if they did not answer of late.
        `notaries`: whether to ask those too.
        """
        open_ = {name: keys for name, keys in wanted.items() if name not in self._failed}
        answers: Answers = {}
        if not notaries:
            await self._ask_themselves(open_, answers, _How(since, is_speaking))
        elif len(open_) > FEW:
            await self._ask_notaries(open_, answers)
            await self._ask_themselves(_lacking(open_, answers), answers, _How(since, is_speaking))
        else:
            await self._ask_themselves(open_, answers, _How(since, is_speaking))
            await self._ask_notaries(_lacking(open_, answers), answers)
        for name in open_:
            if name not in answers:
                self._failed.set(name, True)
        return answers

    async def fetch_one(self, name: ServerName, *, is_speaking: bool = False) -> KeyAnswer:
        """What a server says itself, asked now. Raises: RemoteError, BadSignature."""
        terms = evolve(_DIRECT, even_if_backing_off=is_speaking)
        value = await self._transport.get(name, "/_matrix/key/v2/server", terms=terms)
        return read_key_answer(value, self._clock.now_ms(), name)

    async def _ask_themselves(self, wanted: Wanted, answers: Answers, how: _How) -> None:
        deadline_s = self._clock.seconds() + DIRECT_S
        turns = DeferredSemaphore(1) if len(wanted) > FEW else None
        asking = [as_deferred(self._ask_before(deadline_s, name, how, turns)) for name in wanted]
        for answer in await gatherResults(asking):
            if answer is not None:
                answers[answer.server_name] = answer

    async def _ask_before(
        self, deadline_s: float, name: ServerName, how: _How, turns: DeferredSemaphore | None
    ) -> KeyAnswer | None:
        await self._semaphore.acquire()
        try:
            if turns is not None:
                # To connect takes a millisecond, and the handshake another: the servers come one after the other.
                await turns.run(self._clock.sleep, 0)
            left_s = deadline_s - self._clock.seconds()
            return await self._clock.timeout(self._ask(name, how), left_s) if left_s > 0 else None
        except TimeoutError:
            return None
        finally:
            self._semaphore.release()

    async def _ask(self, name: ServerName, how: _How) -> KeyAnswer | None:
        try:
            return await self._ask_once(name, how)
        except (RemoteError, BadSignature, LimitExceeded) as error:
            logger.info("No keys of %s from itself: %s", name, error)
            return None

    async def _ask_once(self, name: ServerName, how: _How) -> KeyAnswer:
        """Of several who ask at the same time one does; the others wait for its answer."""
        async with self._one_at_a_time.of(name):
            number, answer = self._fetched.get(name) or (0, None)
            if answer is not None and number > how.since:
                return answer
            if name in self._silent:
                raise Unreachable(name, "it did not tell its keys just now")
            self._questions.take(name)
            self._silent.set(name, True)
            answer = await self.fetch_one(name, is_speaking=how.is_speaking)
            self._silent.invalidate(name)
            self._fetch_count += 1
            self._fetched.set(name, (self._fetch_count, answer))
            return answer

    async def _ask_notaries(self, wanted: Wanted, answers: Answers) -> None:
        for notary in self._notaries:
            lacking = _lacking(wanted, answers)
            names = [name for name in lacking if name != notary.server_name and self._may_ask(notary, name)]
            for at in range(0, len(names), NOTARY_BATCH):
                batch = {name: lacking[name] for name in names[at : at + NOTARY_BATCH]}
                try:
                    told = await self._ask_notary(notary, batch)
                except (RemoteError, BadSignature) as error:
                    # The next batch would fare no better.
                    logger.warning("No keys from the notary %s: %s", notary.server_name, error)
                    break
                _merge(answers, told)

    def _may_ask(self, notary: Notary, about: ServerName) -> bool:
        try:
            self._questions.take((notary.server_name, about))
        except LimitExceeded:
            return False
        return True

    async def _ask_notary(self, notary: Notary, wanted: Wanted) -> list[KeyAnswer]:
        """What a notary tells, each answer checked by itself. Raises: RemoteError, BadSignature."""
        verify_keys = await self._keys_of_notary(notary)
        body = {
            "server_keys": {
                str(name): {key_id: {"minimum_valid_until_ts": at_ms} for key_id, at_ms in keys.items()}
                for name, keys in wanted.items()
            }
        }
        value = await self._transport.post(notary.server_name, "/_matrix/key/v2/query", body, terms=_FROM_NOTARY)
        told = value.get("server_keys") if isinstance(value, dict) else None
        if not isinstance(told, list):
            raise BadAnswer(notary.server_name, "it told no keys")
        # Several answers for a server are possible: one of each time.
        return list(self._checked(told[: 4 * NOTARY_BATCH], notary, verify_keys, wanted))

    def _checked(
        self, told: list[Any], notary: Notary, verify_keys: Mapping[str, VerifyKey], wanted: Wanted
    ) -> Iterator[KeyAnswer]:
        for value in told:
            try:
                answer = read_key_answer(value, self._clock.now_ms())
                check_notary_signature(answer.json, notary.server_name, verify_keys)
            except BadSignature as error:
                logger.info("The notary %s told what will not do: %s", notary.server_name, error)
                continue
            if answer.server_name in wanted:
                yield answer

    async def _keys_of_notary(self, notary: Notary) -> Mapping[str, VerifyKey]:
        if notary.verify_keys is not None:
            return notary.verify_keys
        known = self._notary_keys.get(notary.server_name)
        if known is None:
            answer = await self.fetch_one(notary.server_name)
            known = {key_id: key.verify_key for key_id, key in answer.keys.items() if not key.is_old}
            self._notary_keys.set(notary.server_name, known)
        return known


def _lacking(wanted: Wanted, answers: Answers) -> Wanted:
    """What is still wanted. A key that is known to be old will not become younger."""
    lacking = {}
    for name, keys in wanted.items():
        known = answers[name].keys if name in answers else {}
        still = {
            key_id: at_ms
            for key_id, at_ms in keys.items()
            if key_id not in known or (known[key_id].valid_until_ms < at_ms and not known[key_id].is_old)
        }
        if still:
            lacking[name] = still
    return lacking


def _merge(answers: Answers, told: list[KeyAnswer]) -> None:
    """Of several answers of a server each key is taken from the one that is valid longest, which is the newest."""
    for answer in sorted(told, key=lambda each: each.valid_until_ms):
        before = answers.get(answer.server_name)
        if before is None:
            answers[answer.server_name] = answer
        elif before.valid_until_ms <= answer.valid_until_ms:
            answers[answer.server_name] = evolve(answer, keys={**before.keys, **answer.keys})
        else:
            answers[answer.server_name] = evolve(before, keys={**answer.keys, **before.keys})
