"""What an operator reads, and the exit code that a script sees."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit import triggers
from audit.models import IndexRow, Pending
from audit.sequencer import Sequencer
from audit.verification import verify
from tests.audit.conftest import happen
from tests.audit.test_attacks import edit_an_entry, insert_pending


def audit(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", *arguments, stdout=out)
    return out.getvalue()


def test_init_names_the_ledger_and_its_public_key_and_may_be_repeated(db: None) -> None:
    first, second = audit("init"), audit("init")

    assert first == second
    assert "countersign.test/ledger is ready; it holds 0 entries" in first
    assert "countersign.test/ledger+" in first


@pytest.mark.parametrize("subcommand", ["status", "checkpoint"])
def test_before_init_there_is_a_sentence(db: None, subcommand: str) -> None:
    with pytest.raises(CommandError, match="has not been initialised"):
        audit(subcommand)


def test_a_ledger_that_was_never_initialised_does_not_verify(db: None) -> None:
    with pytest.raises(CommandError, match="The database holds no checkpoint"):
        audit("verify")


def test_status_tells_what_is_signed_and_what_waits(ledger: Sequencer) -> None:
    happen(2)

    status = audit("status")

    assert "600 entries are signed" in status
    assert "2 entries wait" in status


def test_status_fails_where_rows_were_refused(ledger: Sequencer) -> None:
    insert_pending("1:forged", b"{}")
    ledger.tick()

    with pytest.raises(CommandError, match="1 rows lie in quarantine; guards missing: none"):
        audit("status")


def test_status_fails_where_guards_are_missing(ledger: Sequencer) -> None:
    triggers.remove(connection)

    with pytest.raises(CommandError, match="audit_bundle_no_update"):
        audit("status")


def test_verify_says_what_was_compared_and_records_that(ledger: Sequencer) -> None:
    sentence = audit("verify", "--deep")

    assert (
        "Verified all 600 entries: hashes, tiles, every writer's links, the index and the private data agree"
        in sentence
    )
    assert "4 signed checkpoints; 4 of them held outside the database" in sentence
    assert Pending.objects.count() == 1


def test_verify_since_reads_the_rest_only(ledger: Sequencer) -> None:
    assert "Verified 200 entries after the first 400" in audit("verify", "--since", "400")


def test_verify_fails_with_every_problem_in_words(ledger: Sequencer) -> None:
    edit_an_entry()

    with pytest.raises(CommandError, match="NOT as it was signed") as failure:
        audit("verify")

    assert "The first 100 entries are not the ones that were signed" in str(failure.value)


def test_deep_and_since_exclude_each_other(ledger: Sequencer) -> None:
    with pytest.raises(CommandError, match="leave --since out"):
        audit("verify", "--deep", "--since", "400")


def test_the_checkpoint_is_printed_as_it_is(ledger: Sequencer) -> None:
    assert audit("checkpoint").startswith("countersign.test/ledger\n600\n")


def test_the_index_is_rebuilt_from_the_entries(ledger: Sequencer) -> None:
    before = list(IndexRow.objects.order_by("seq").values_list())
    IndexRow.objects.filter(seq__gt=100).delete()

    assert "600 entries" in audit("reindex")

    assert list(IndexRow.objects.order_by("seq").values_list()) == before
    assert verify(deep=True).ok
