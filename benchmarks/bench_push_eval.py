"""Push rules for the members of a room: one plain message, many users.

python -m benchmarks.bench_push_eval
"""

import time
from collections.abc import Callable

from matrix.events import Json
from matrix.push_conditions import PushEvent
from matrix.push_eval import Evaluator, compile_ruleset
from matrix.push_rule_input import parse_rule
from matrix.push_rules import EMPTY, Ruleset, put_rule

USERS = [f"@user{number}:example.org" for number in range(1000)]
EVENT: Json = {
    "type": "m.room.message",
    "sender": "@alice:example.org",
    "room_id": "!room:example.org",
    "event_id": "$event",
    "origin_server_ts": 1,
    "content": {
        "msgtype": "m.text",
        "body": "The quick brown fox jumps over the lazy dog at 12:30, as it does every day.",
        "m.mentions": {"user_ids": ["@user7:example.org"]},
    },
}


def push_event() -> PushEvent:
    return PushEvent(EVENT, member_count=1000, sender_level=0, required_level=lambda key: 50)


def own_rules(muted_rooms: int, keywords: int) -> Ruleset:
    ruleset = EMPTY
    for number in range(muted_rooms):
        condition = {"kind": "event_match", "key": "room_id", "pattern": f"!muted{number}:example.org"}
        body = {"actions": [], "conditions": [condition]}
        ruleset = put_rule(ruleset, parse_rule("override", f"!muted{number}:example.org", body))
    for number in range(keywords):
        ruleset = put_rule(ruleset, parse_rule("content", f"k{number}", {"actions": [], "pattern": f"keyword{number}"}))
    return ruleset


def judge(evaluators: list[Evaluator]) -> None:
    event = push_event()
    for user_id, evaluator in zip(USERS, evaluators, strict=True):
        evaluator.evaluate(event, user_id, "Somebody")


def report(name: str, run: Callable[[], object], times: int) -> None:
    run()
    start = time.process_time()
    for _ in range(times):
        run()
    print(f"{name:58} {(time.process_time() - start) / times / len(USERS) * 1e6:8.2f} us a user")


def main() -> None:
    defaults = [compile_ruleset(EMPTY)] * len(USERS)
    report("default rules", lambda: judge(defaults), 200)
    own = [compile_ruleset(own_rules(0, 1)) for _ in USERS]
    report("one keyword each", lambda: judge(own), 20)
    many = compile_ruleset(own_rules(500, 10))
    alike = [Evaluator(general=many._general, by_room=many._by_room, by_sender=many._by_sender) for _ in USERS]
    report("500 muted rooms and 10 keywords each", lambda: judge(alike), 20)
    report("compile one keyword and the default rules", lambda: [compile_ruleset(own_rules(0, 1)) for _ in USERS], 2)


if __name__ == "__main__":
    main()
