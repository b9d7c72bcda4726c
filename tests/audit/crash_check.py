"""Compares the ledger with what its killed writers told: `python -m tests.audit.crash_check`.

Every transaction that a writer saw committed is there whole and once; one that was undone is not there; one in whose
middle the writer died is there whole or not at all. Prints the counts, or the first transaction that is otherwise.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import django
from django.conf import settings


def main() -> None:
    """Read both and compare."""
    django.setup()
    from audit import store
    from audit.entries import Entry
    from audit.events import Action
    from audit.tiles import TILE_WIDTH

    size = store.stored_size()
    payloads = (payload for n in range(-(-size // TILE_WIDTH)) for payload in store.read_bundle(n))
    logged = map(Entry.parse, payloads)
    there = Counter(entry.obj_id for entry in logged if entry.action != Action.KEY_CREATE)
    told = dict[str, tuple[str, int]]()
    for path in sorted(Path(settings.AUDIT_STATE_FILE).parent.glob("told-*")):
        for line in path.read_text().splitlines():
            said, name, count = line.split()
            told[name] = (said, int(count))
    for name, (said, entries) in told.items():
        allowed: dict[str, set[int]] = {"committed": {entries}, "undone": {0}, "begun": {0, entries}}
        if there[name] not in allowed[said]:
            sys.exit(f"transaction {name} ({said}, {entries} entries) is in the ledger {there[name]} times")
    if strangers := there.keys() - told.keys():
        sys.exit(f"nobody told of {sorted(strangers)[:3]}")
    counts = Counter(said for said, _ in told.values())
    print(  # noqa: T201 - a command's output
        f"{size} entries of {counts['committed']} transactions that were committed; {counts['undone']} undone are not there; "
        f"{counts['begun']} in which a writer died are there whole or not at all"
    )


if __name__ == "__main__":
    main()
