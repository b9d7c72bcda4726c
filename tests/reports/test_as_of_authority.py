"""On whose authority a version was live where no review came before: a break-glass, or an envelope that reviewers had signed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from audit import keys
from audit.receipts import forget_tiles
from audit.sequencer import Sequencer
from countersign.proof.canonical import canonical
from countersign.proof.receipts import verify_receipt
from registry.models import ModelVersion, Stage
from reports import pdf
from reports.as_of import cited
from reports.as_of_answer import ask, encode
from reports.as_of_views import in_words
from reviews.break_glass import decline
from reviews.models import BreakGlass, RetrainingEnvelope
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import proof_of
from tests.reviews.test_break_glass import asked, fix, in_force, in_production, seconded
from tests.reviews.test_envelopes import Trained, base, clock, envelope, source, trained
from tests.reviews.test_renewal import at, live

__all__ = [
    "base",
    "clock",
    "envelope",
    "fix",
    "in_force",
    "in_production",
    "ledger_of_its_own",
    "sequencer",
    "source",
    "trained",
]


@pytest.fixture(autouse=True)
def logged(sequencer: Sequencer) -> Iterator[Sequencer]:
    """The ledger is older than the people and models."""
    forget_tiles()
    yield sequencer
    forget_tiles()


def settle(clock: time_machine.Traveller, sequencer: Sequencer) -> datetime:
    """The present moment, settled: two minutes later something else happens."""
    moment = timezone.now()
    clock.shift(timedelta(minutes=2))
    happen()
    sequencer.tick()
    return moment


def authority(version: ModelVersion, stage: Stage, moment: datetime, dave: User) -> tuple[dict[str, Any], Any]:
    """The answer and what it says of the authority; every entry that it names has a receipt that holds, and it can be printed."""
    found = ask(version.model, stage, moment, by=as_(dave))
    receipts = {one["entry"]: one["receipt"].encode() for one in found["receipts"]}
    assert receipts.keys() == cited(found)
    assert all(verify_receipt(receipts[seq], keys.trusted_verifiers()).seq == seq for seq in receipts)
    assert encode(found) == canonical(ask(version.model, stage, moment, by=as_(dave)))
    assert "On whose authority" in pdf.printed_answer(in_words(found), "0" * 64)
    return found, found["authority"]


def test_a_break_glass_is_the_authority_with_both_who_signed_it(
    clock: time_machine.Traveller,
    logged: Sequencer,
    in_force: BreakGlass,
    fix: ModelVersion,
    production: Stage,
    rita: User,
    carol: User,
    dave: User,
) -> None:
    found, told = authority(fix, production, settle(clock, logged), dave)

    assert found["live"]["version"] == fix.number
    assert told["basis"] == "break_glass"
    assert [(one["slot"], one["by"], one["statement"]) for one in told["signatures"]] == [
        ("break_glass.ask", f"person:{rita.uuid}", in_force.asked_digest),
        ("break_glass.second", f"person:{carol.uuid}", in_force.seconded_digest),
    ]
    assert told["moved"]["by"] == f"person:{carol.uuid}"
    assert found["unknown"] == []


def test_what_was_asked_for_in_vain_before_is_no_authority(
    clock: time_machine.Traveller,
    logged: Sequencer,
    fix: ModelVersion,
    production: Stage,
    rita: User,
    carol: User,
    dave: User,
) -> None:
    declined = asked(fix, production, rita)
    decline(declined, reason="Not yet.", reauthentication=proof_of(carol), by=as_(carol))
    case = seconded(asked(fix, production, rita), carol)

    _, told = authority(fix, production, settle(clock, logged), dave)

    assert {one["statement"] for one in told["signatures"]} == {case.asked_digest, case.seconded_digest}


def test_before_the_second_signature_the_reviewed_version_was_live(
    clock: time_machine.Traveller,
    logged: Sequencer,
    fix: ModelVersion,
    in_production: ModelVersion,
    production: Stage,
    rita: User,
    carol: User,
    dave: User,
) -> None:
    case = asked(fix, production, rita)
    before = settle(clock, logged)
    seconded(case, carol)
    settle(clock, logged)

    found, told = authority(fix, production, before, dave)

    assert (found["live"]["version"], told["basis"]) == (in_production.number, "review")


def test_an_envelope_is_the_authority_with_the_signatures_that_were_given_in_advance(
    clock: time_machine.Traveller,
    logged: Sequencer,
    envelope: RetrainingEnvelope,
    base: ModelVersion,
    trained: Trained,
    production: Stage,
    bob: User,
    carol: User,
    dave: User,
) -> None:
    version = trained(of=base, auc=0.851)
    at(timezone.now())
    assert live(version, production)

    found, told = authority(version, production, settle(clock, logged), dave)

    assert found["live"]["version"] == version.number
    assert told["basis"] == "envelope"
    assert told["envelope"]["id"] == str(envelope.uuid)
    signatures = {one.statement_digest: one.slot_key for one in envelope.signatures.all()}
    assert {one["statement"]: one["slot"] for one in told["signatures"]} == signatures
    assert {one["by"] for one in told["signatures"]} == {f"person:{bob.uuid}", f"person:{carol.uuid}"}
    assert told["moved"]["by"] == "system:clock"
    assert found["unknown"] == []


def test_the_version_before_the_retraining_rests_on_its_own_review(
    clock: time_machine.Traveller,
    logged: Sequencer,
    envelope: RetrainingEnvelope,
    base: ModelVersion,
    trained: Trained,
    production: Stage,
    dave: User,
) -> None:
    before = settle(clock, logged)
    trained(of=base, auc=0.851)
    at(timezone.now())
    settle(clock, logged)

    found, told = authority(base, production, before, dave)

    assert (found["live"]["version"], told["basis"]) == (base.number, "review")
