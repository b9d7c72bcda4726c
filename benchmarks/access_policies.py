"""How long one evaluation of the access policies takes, warm: `python -m benchmarks.access_policies`. The goal is 50 µs."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

from access.entry.deciding import Circumstances, PolicyInForce, Rulebook, Subject
from access.entry.documents import Doing, parse
from access.entry.places import Place

ROUNDS, AT_ONCE = 200, 100
TERMS = 'network.within("10.0.0.0/8") && subject.strength in ["passkey", "token"] && purpose != ""'
HOURS = 'now.getHours("Europe/Berlin") < 6'


def policy(name: str, *rules: tuple[str, str], **target: Any) -> PolicyInForce:
    """A policy with these rules, each an effect and an expression."""
    said = [
        {"key": f"r{n}", "effect": effect, "when": when, "because": "b", "satisfy": "s"}
        for n, (effect, when) in enumerate(rules)
    ]
    return PolicyInForce(name, 1, parse({"title": name, "rules": said, "target": target}))


SETS = {
    "built-in": [policy("everybody", ("allow", "true"))],
    "terms and hours for tier 1": [
        policy("everybody", ("allow", "true")),
        policy("tier-1", ("deny", HOURS), ("allow", TERMS), tiers=[1]),
    ],
    "20 policies for other models beside it": [
        policy("everybody", ("allow", "true")),
        policy("tier-1", ("deny", HOURS), ("allow", TERMS), tiers=[1]),
        *(policy(f"other-{n}", ("deny", HOURS), ("allow", TERMS), models=[f"other-{n}"]) for n in range(20)),
    ],
}


def main() -> None:
    """Print the median of each set in µs."""
    subject = Subject("service", "scorer", ("Service: pull",), ())
    at_noon = Circumstances("token", "credit decision", "10.1.2.3", datetime(2026, 7, 1, 12, tzinfo=UTC))
    for name, policies in SETS.items():
        book, place, taken = Rulebook(policies), Place("credit", 1), []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(AT_ONCE):
                book.decide(subject, Doing.PULL, place, at_noon)
            taken.append((time.perf_counter() - begun) / AT_ONCE * 1e6)
        sys.stdout.write(f"{name}: {statistics.median(taken):.1f} µs\n")


if __name__ == "__main__":
    main()
