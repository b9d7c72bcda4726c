"""The attack matrix: what somebody with all rights on the database does, and what then says so.

Every attack is made with the triggers off and puts them on again, so that it is the evidence that speaks and not the seat-belts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection

from audit import keys, store, triggers
from audit.actions import NotAppended, append, in_one_group
from audit.anchors.configured import state_journal
from audit.entries import INDEX_COLUMNS, Entry
from audit.events import Action
from audit.models import IndexRow, Pending, Private, Quarantined
from audit.sequencer import RefusesToSign, Sequencer
from audit.tiles import TILE_WIDTH, RightEdge
from audit.verification import Verification, verify
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import Signer, TreeHead, sign_note
from tests.audit.conftest import ALICE, CREDIT, happen


@contextmanager
def database_owner() -> Iterator[Callable[..., None]]:
    """All rights on the database: the triggers are off for as long as the block lasts."""

    def run(statement: str, *values: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    triggers.remove(connection)
    yield run
    triggers.install(connection)


def codes(result: Verification) -> set[str]:
    return {problem.code for problem in result.problems}


def put_bundle(n: int, entries: list[bytes]) -> None:
    with database_owner() as run:
        run("DELETE FROM audit_bundle WHERE n = %s", n)
        run("INSERT INTO audit_bundle (n, w, entries) VALUES (%s, %s, %s)", n, len(entries), store.compress(entries))


def all_entries() -> list[bytes]:
    return [entry for n in range(-(-store.stored_size() // TILE_WIDTH)) for entry in store.read_bundle(n)]


def edited(payload: bytes) -> bytes:
    fields = orjson.loads(payload)
    return orjson.dumps(fields | {"outcome": "denied"}, option=orjson.OPT_SORT_KEYS)


def rewrite_everything(entries: list[bytes], signer: Signer) -> None:
    """Make bundles, tiles, index and the last checkpoint anew, as if these had been the entries from the beginning."""
    edge = RightEdge()
    tiles = edge.append(leaf_hash(entry) for entry in entries)
    head = TreeHead(keys.origin(), edge.size, edge.root())
    with database_owner() as run:
        for table in ("audit_bundle", "audit_tile", "audit_index", "audit_private"):
            run(f"DELETE FROM {table}")
        run("DELETE FROM audit_checkpoint WHERE size > 0")
        for start in range(0, len(entries), TILE_WIDTH):
            chunk = entries[start : start + TILE_WIDTH]
            run("INSERT INTO audit_bundle VALUES (%s, %s, %s)", start // TILE_WIDTH, len(chunk), store.compress(chunk))
        for tile in tiles:
            run("INSERT INTO audit_tile VALUES (%s, %s, %s, %s)", tile.level, tile.n, tile.hashes, tile.root)
        columns, places = ", ".join(INDEX_COLUMNS), ", ".join(["%s"] * len(INDEX_COLUMNS))
        for seq, entry in enumerate(entries):
            run(f"INSERT INTO audit_index ({columns}) VALUES ({places})", *Entry.parse(entry).index_row(seq))
        run("INSERT INTO audit_checkpoint VALUES (%s, %s, %s)", head.size, 0, sign_note(head.text(), signer))


# Attacks on what is logged: a name, the deed, and what verification then reports.


def edit_an_entry() -> None:
    entries = store.read_bundle(0)
    put_bundle(0, [*entries[:7], edited(entries[7]), *entries[8:]])


def edit_the_newest_entry() -> None:
    entries = store.read_bundle(2)
    put_bundle(2, [*entries[:-1], edited(entries[-1])])


def delete_an_entry() -> None:
    entries = store.read_bundle(1)
    put_bundle(1, [*entries[:7], *entries[8:]])


def delete_an_entry_and_close_the_gap() -> None:
    entries = all_entries()
    del entries[300]
    for n in range(3):
        put_bundle(n, entries[n * TILE_WIDTH : (n + 1) * TILE_WIDTH])


def delete_a_bundle() -> None:
    with database_owner() as run:
        run("DELETE FROM audit_bundle WHERE n = 1")


def reorder_two_entries() -> None:
    entries = store.read_bundle(0)
    put_bundle(0, [entries[1], entries[0], *entries[2:]])


def swap_two_bundles() -> None:
    first, second = store.read_bundle(0), store.read_bundle(1)
    put_bundle(0, second)
    put_bundle(1, first)


def append_an_entry_by_hand() -> None:
    put_bundle(2, [*store.read_bundle(2), edited(store.read_bundle(2)[-1])])


def edit_an_entry_and_its_tile() -> None:
    edit_an_entry()
    hashes = b"".join(leaf_hash(entry) for entry in store.read_bundle(0))
    with database_owner() as run:
        run("UPDATE audit_tile SET hashes = %s WHERE level = 0 AND n = 0", hashes)


def edit_a_tile() -> None:
    with database_owner() as run:
        run("UPDATE audit_tile SET hashes = %s WHERE level = 0 AND n = 1", bytes(8_192))


def edit_the_root_of_a_tile() -> None:
    with database_owner() as run:
        run("UPDATE audit_tile SET root = %s WHERE level = 0 AND n = 1", bytes(32))


def delete_a_tile() -> None:
    with database_owner() as run:
        run("DELETE FROM audit_tile WHERE n = 0")


def add_a_tile() -> None:
    with database_owner() as run:
        run("INSERT INTO audit_tile VALUES (0, 2, %s, NULL)", bytes(8_192))


def store_a_bomb() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(300_000_000))
    with database_owner() as run:
        run("UPDATE audit_bundle SET entries = %s WHERE n = 0", bomb)


def store_garbage() -> None:
    with database_owner() as run:
        run("UPDATE audit_bundle SET entries = %s WHERE n = 2", b"garbage")


def edit_a_checkpoint() -> None:
    with database_owner() as run:
        run("UPDATE audit_checkpoint SET note = REPLACE(note, '400', '401') WHERE size = 400")


def misfile_a_checkpoint() -> None:
    with database_owner() as run:
        run("UPDATE audit_checkpoint SET size = 401 WHERE size = 400")


def rewrite_with_another_key() -> None:
    entries = all_entries()
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate())
    rewrite_everything([*entries[:7], edited(entries[7]), *entries[8:]], stranger)


def rewrite_with_the_stolen_key() -> None:
    entries = all_entries()
    rewrite_everything([*entries[:7], edited(entries[7]), *entries[8:]], keys.load_log_key())


def truncate_to_an_older_head() -> None:
    rewrite_everything(all_entries()[:400], keys.load_log_key())


def drop_every_row() -> None:
    with database_owner() as run:
        for table in ("audit_bundle", "audit_tile", "audit_index", "audit_private", "audit_checkpoint"):
            run(f"DELETE FROM {table}")


def remove_what_is_outside() -> None:
    for path in (state_journal().path, Path(settings.AUDIT_ANCHOR_DIR) / "checkpoints"):
        path.unlink()


def damage_what_is_outside() -> None:
    path = state_journal().path
    path.write_bytes(path.read_bytes().replace(b'"size":100', b'"size:100'))


ATTACKS_ON_THE_LOG: list[tuple[Callable[[], None], str]] = [
    (edit_an_entry, "root"),
    (edit_the_newest_entry, "root"),
    (delete_an_entry, "missing"),
    (delete_an_entry_and_close_the_gap, "root"),
    (delete_a_bundle, "missing"),
    (reorder_two_entries, "root"),
    (swap_two_bundles, "root"),
    (append_an_entry_by_hand, "unsigned"),
    (edit_an_entry_and_its_tile, "root"),
    (edit_a_tile, "tile"),
    (edit_the_root_of_a_tile, "tile"),
    (delete_a_tile, "tile"),
    (add_a_tile, "tile"),
    (store_a_bomb, "bundle"),
    (store_garbage, "bundle"),
    (edit_a_checkpoint, "signature"),
    (misfile_a_checkpoint, "checkpoint-misplaced"),
    (rewrite_with_another_key, "signature"),
    (rewrite_with_the_stolen_key, "root"),
    (truncate_to_an_older_head, "cut-short"),
    (drop_every_row, "no-checkpoint"),
    (remove_what_is_outside, "nothing-outside"),
    (damage_what_is_outside, "outside-damaged"),
]


@pytest.mark.parametrize(("attack", "code"), ATTACKS_ON_THE_LOG, ids=lambda value: getattr(value, "__name__", None))
def test_full_verification_says_so(ledger: Sequencer, attack: Callable[[], None], code: str) -> None:
    attack()

    assert code in codes(verify())


STOPS_THE_SEQUENCER: list[Callable[[], None]] = [
    edit_the_newest_entry,
    append_an_entry_by_hand,
    edit_a_tile,
    delete_a_tile,
    store_garbage,
    rewrite_with_another_key,
    rewrite_with_the_stolen_key,
    truncate_to_an_older_head,
    drop_every_row,
]


@pytest.mark.parametrize("attack", STOPS_THE_SEQUENCER, ids=lambda attack: attack.__name__)
def test_the_sequencer_does_not_sign_over_it(ledger: Sequencer, attack: Callable[[], None]) -> None:
    attack()
    happen()

    with pytest.raises(RefusesToSign):
        Sequencer(keys.load_log_key()).start()
    assert Pending.objects.count() == 1


def test_a_running_sequencer_notices_that_the_database_went_back(ledger: Sequencer) -> None:
    truncate_to_an_older_head()
    happen()

    with pytest.raises(RefusesToSign, match="400 entries, but 600 were signed"):
        ledger.tick()


def test_a_sequencer_without_its_state_file_does_not_sign(ledger: Sequencer) -> None:
    state_journal().path.unlink()

    with pytest.raises(RefusesToSign, match="state file state is missing"):
        Sequencer(keys.load_log_key()).start()


def test_entries_changed_while_the_state_file_lags_are_not_signed_over(ledger: Sequencer) -> None:
    path = state_journal().path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    edit_the_newest_entry()

    with pytest.raises(RefusesToSign, match="do not give the root that its checkpoint over 600 entries signs"):
        Sequencer(keys.load_log_key()).start()


def test_incremental_verification_finds_what_was_changed_since(ledger: Sequencer) -> None:
    edit_the_newest_entry()

    assert codes(verify(since=400)) == {"root"}


def test_incremental_verification_begins_anew_where_no_checkpoint_stands(ledger: Sequencer) -> None:
    assert codes(verify(since=450)) == {"no-checkpoint-there"}


# Attacks beside the tree: the hashes are right, deep verification reads what they mean.


def edit_an_index_row() -> None:
    with database_owner() as run:
        run("UPDATE audit_index SET actor_id = 'bob' WHERE seq = 17")


def delete_an_index_row() -> None:
    IndexRow.objects.filter(seq=17).delete()


def edit_a_private_row() -> None:
    stored = bytes(Private.objects.get(seq=17).disclosures)
    with database_owner() as run:
        run("UPDATE audit_private SET disclosures = %s WHERE seq = 17", stored.replace(b"alice", b"malin"))


def move_a_private_row() -> None:
    with database_owner() as run:
        run("DELETE FROM audit_private WHERE seq = 18")
        run("UPDATE audit_private SET seq = 18 WHERE seq = 17")


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (edit_an_index_row, "index"),
        (delete_an_index_row, "index"),
        (edit_a_private_row, "private"),
        (move_a_private_row, "private"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_deep_verification_says_so(ledger: Sequencer, attack: Callable[[], None], code: str) -> None:
    attack()

    assert codes(verify(deep=True)) == {code}


@pytest.mark.parametrize("table", ["audit_index", "audit_private"])
def test_a_row_beside_an_entry_that_does_not_exist_is_found(ledger: Sequencer, table: str) -> None:
    with database_owner() as run:
        if table == "audit_private":
            run("INSERT INTO audit_private VALUES (600, %s)", b"")
        else:
            columns = ", ".join(column for column in INDEX_COLUMNS if column not in ("seq", "n"))
            run(
                f"INSERT INTO audit_index (seq, n, {columns}) SELECT 600, 9999, {columns} FROM audit_index WHERE seq = 17"
            )

    assert codes(verify()) == {"leftover"}


def test_erasing_a_person_leaves_the_ledger_valid(ledger: Sequencer) -> None:
    Private.objects.all().delete()

    assert verify(deep=True).ok


def test_an_untouched_ledger_gives_no_alarm(ledger: Sequencer) -> None:
    result = verify(deep=True)

    assert result.problems == ()
    assert (result.size, result.checkpoints, result.outside, result.quarantined) == (600, 4, 4, 0)
    assert verify(since=400).ok


# Attacks on what waits to be logged.


def pending_row() -> tuple[str, bytes, bytes]:
    row = Pending.objects.latest("id")
    return row.mac, bytes(row.payload), bytes(row.private)


def insert_pending(mac: str, payload: Any, private: Any = b"") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_pending (mac, payload, private, prompt) VALUES (%s, %s, %s, %s)",
            [mac, payload, private, False],
        )


def reasons() -> list[str]:
    return [row.why.partition(":")[0] for row in Quarantined.objects.order_by("id")]


def test_a_forged_row_is_not_logged(sequencer: Sequencer) -> None:
    happen()
    _, payload, private = pending_row()
    back_dated = orjson.dumps(orjson.loads(payload) | {"t": 0, "n": 99}, option=orjson.OPT_SORT_KEYS)
    insert_pending("1:" + "0" * 64, back_dated, private)

    assert sequencer.tick() == 2
    assert sequencer.head.size == 1
    assert reasons() == ["forged"]
    assert bytes(Quarantined.objects.get().payload) == back_dated


def test_a_row_under_a_retired_key_is_not_logged(sequencer: Sequencer) -> None:
    happen()
    mac, payload, private = pending_row()
    insert_pending(mac.replace("1:", "0:"), payload, private)

    sequencer.tick()

    assert reasons() == ["forged"]


def test_a_back_dated_row_under_the_stolen_key_shows_by_the_clock(sequencer: Sequencer) -> None:
    happen(2)
    _, payload, private = pending_row()
    fields = orjson.loads(payload)
    back_dated = orjson.dumps(
        fields | {"t": fields["t"] - 6 * 60 * 1_000_000, "n": 2, "p": 1}, option=orjson.OPT_SORT_KEYS
    )
    insert_pending(keys.mac(back_dated), back_dated, private)

    sequencer.tick()

    assert codes(verify(deep=True)) == {"clock"}


def test_a_replayed_row_is_logged_once(sequencer: Sequencer) -> None:
    happen()
    copy = pending_row()
    insert_pending(*copy)
    sequencer.tick()
    insert_pending(*copy)
    sequencer.tick()

    assert sequencer.head.size == 1
    assert reasons() == ["replayed", "replayed"]


def test_a_replay_after_the_index_was_emptied_shows(sequencer: Sequencer) -> None:
    happen()
    copy = pending_row()
    sequencer.tick()
    IndexRow.objects.all().delete()
    insert_pending(*copy)

    sequencer.tick()

    assert "repeated" in codes(verify(deep=True))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_deleted_row_shows_in_its_writers_next_event(sequencer: Sequencer, gone: int) -> None:
    happen(3)
    Pending.objects.filter(id=Pending.objects.order_by("id")[gone].id).delete()
    sequencer.tick()

    happen()
    sequencer.tick()

    assert codes(verify(deep=True)) == {"removed"}


def test_altered_private_data_is_not_logged(sequencer: Sequencer) -> None:
    happen()
    _, _, private = pending_row()
    with database_owner() as run:
        run("UPDATE audit_pending SET private = %s", private.replace(b"192.0.2.7", b"203.0.113"))

    sequencer.tick()

    assert reasons() == ["altered"]


@pytest.mark.parametrize(
    ("payload", "private", "reason"),
    [
        (b"not json", b"", "malformed"),
        (b"[]", b"", "malformed"),
        (b'{"v":1}', b"", "malformed"),
        (None, b"not json", "altered"),
        (None, b"[1]", "altered"),
        (None, b"", "altered"),
    ],
)
def test_nothing_in_a_row_stops_the_sequencer(
    sequencer: Sequencer, payload: bytes | None, private: bytes, reason: str
) -> None:
    happen()
    _, real, _ = pending_row()
    with database_owner() as run:
        run("DELETE FROM audit_pending")
    payload = payload or real
    insert_pending(keys.mac(payload), payload, private)

    assert sequencer.tick() == 1
    assert reasons() == [reason]


def test_an_entry_that_no_bundle_can_hold_does_not_stop_the_sequencer(sequencer: Sequencer) -> None:
    happen()
    _, payload, private = pending_row()
    oversized = orjson.dumps(orjson.loads(payload) | {"n": 1, "why": "x" * 70_000}, option=orjson.OPT_SORT_KEYS)
    insert_pending(keys.mac(oversized), oversized, private)

    assert sequencer.tick() == 2
    assert reasons() == ["malformed"]


def test_numbers_and_names_that_a_database_cannot_index_do_not_stop_the_sequencer(sequencer: Sequencer) -> None:
    happen(obj=type(CREDIT)(kind="model", id="\0" + "x" * 900, name="ü" * 900))

    sequencer.tick()

    assert sequencer.head.size == 1
    assert verify(deep=True).ok


def test_values_of_the_wrong_type_do_not_stop_the_sequencer(sequencer: Sequencer) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's columns hold what they say")
    insert_pending("1:\ud7ff", "text in place of bytes", 17)

    assert sequencer.tick() == 1
    assert reasons() == ["forged"]
    kept = Quarantined.objects.get()
    assert (bytes(kept.payload), bytes(kept.private)) == (b"text in place of bytes", b"17")


# Attacks on the guards.


SWALLOW = {
    "sqlite": ["CREATE TRIGGER evil BEFORE INSERT ON audit_pending BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [
        "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER evil BEFORE INSERT ON audit_pending FOR EACH ROW EXECUTE FUNCTION evil()",
    ],
}
DELETE_LATER = {
    "sqlite": [
        "CREATE TRIGGER evil AFTER INSERT ON audit_pending BEGIN DELETE FROM audit_pending WHERE id = NEW.id; END"
    ],
    "postgresql": [
        "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "DELETE FROM audit_pending WHERE id = NEW.id; RETURN NULL; END $$",
        "CREATE TRIGGER evil AFTER INSERT ON audit_pending FOR EACH ROW EXECUTE FUNCTION evil()",
    ],
}


def run_all(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_trigger_that_swallows_the_row_stops_the_action_at_once(sequencer: Sequencer) -> None:
    run_all(SWALLOW[connection.vendor])

    with pytest.raises(NotAppended, match="did not keep the ledger entry"):
        append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)


def happen_together(*actions: Action) -> None:
    with in_one_group():
        for action in actions:
            append(action, by=ALICE, obj=CREDIT)


def test_a_trigger_that_swallows_one_row_of_a_group_stops_the_whole_group(sequencer: Sequencer) -> None:
    run_all(
        [
            statement.replace("ON audit_pending", "ON audit_pending WHEN NEW.prompt", 1)
            if connection.vendor == "sqlite"
            else statement.replace("EACH ROW", "EACH ROW WHEN (NEW.prompt)")
            for statement in SWALLOW[connection.vendor]
        ]
    )

    with pytest.raises(NotAppended, match="did not keep the ledger entry"):
        happen_together(Action.MODEL_UPDATE, Action.SIGN_OFF_GIVE, Action.MODEL_UPDATE)
    assert not Pending.objects.exists()


def test_a_trigger_that_deletes_the_row_shows_in_the_next_event(sequencer: Sequencer) -> None:
    run_all(DELETE_LATER[connection.vendor])
    happen()
    run_all(["DROP TRIGGER evil" if connection.vendor == "sqlite" else "DROP TRIGGER evil ON audit_pending"])
    happen()

    sequencer.tick()

    assert codes(verify(deep=True)) == {"removed"}


def test_dropped_triggers_are_missed(ledger: Sequencer) -> None:
    triggers.remove(connection)

    result = verify()

    assert codes(result) == {"triggers"}
    assert "audit_bundle_no_update" in result.problems[0].sentence
