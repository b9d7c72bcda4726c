"""What somebody with the registry's key and the database could write, and why no approval holds by it: one forgery a test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from countersign.proof.canonical import sha256_hex
from countersign.proof.dsse import Envelope, envelope_digest, open_sealed
from foundation.keys import registry_signer
from registry.models import ModelVersion, Stage
from reviews import emergencies, within
from reviews.actions import dismiss_changes_request, sign_off
from reviews.break_glass import ask as ask_ahead
from reviews.break_glass import second
from reviews.clock import tick
from reviews.evaluation import current_subject
from reviews.models import Approval, Lapse, RetrainingEnvelope, Review, Revocation, SignOff
from reviews.promotion import promote
from reviews.proof import why_unsound
from reviews.revocation import revoke
from reviews.standing import Signature, Standing, standing_of
from reviews.subjects import frozen
from tests.conftest import as_
from tests.databases import without_triggers
from tests.passkeys import SoftKey, enrolled, sign_with
from tests.reviews.conftest import MakeCandidate, ask, join, proof_of, sign
from tests.reviews.rules import in_force
from tests.reviews.test_envelopes import Trained, base, clock, envelope, source, trained
from tests.sealing import resealed

__all__ = ["base", "clock", "envelope", "source", "trained"]

pytestmark = pytest.mark.django_db

TOO_FEW = "Valid signatures do not fill every slot of the policy."


def rewrite(given: SignOff, envelope: Envelope) -> None:
    """Put another statement under a sign-off, with its digest, as whoever owns the database can."""
    with without_triggers():
        SignOff.objects.filter(pk=given.pk).update(statement=dict(envelope), statement_digest=envelope_digest(envelope))


def unsound(approval: Approval) -> str:
    """Why a promotion by the approval would be refused, read anew."""
    fresh = Approval.objects.select_related("version__model", "stage", "round__review__stage").get(pk=approval.pk)
    return why_unsound(fresh, timezone.now(), released=False)


def as_it_stands(given: SignOff) -> Signature:
    """How one sign-off stands in its round now."""
    round_ = given.round
    standing = standing_of(round_, frozen(round_).facets, timezone.now())
    return next(one for one in standing.signatures if one.sign_off.pk == given.pk)


def by_passkey(review: Review, slot: str, user: User, key: SoftKey) -> SignOff:
    """A sign-off as the page with a passkey gives it."""
    round_ = review.current_round
    subject = current_subject(round_).digest
    given = sign_with(
        key,
        user,
        lambda confirmation: sign_off(
            round_,
            slot,
            decision="approve",
            reason="I read it all.",
            reauthentication=confirmation,
            expected_subject=subject,
            idempotency_key=f"{slot}-of-{user.username}",
            by=as_(user),
        ),
    )
    assert isinstance(given, SignOff)
    return given


@pytest.fixture
def keys(bob: User, carol: User) -> dict[str, SoftKey]:
    found = {"bob": SoftKey(), "carol": SoftKey()}
    enrolled(bob, found["bob"])
    enrolled(carol, found["carol"])
    return found


@pytest.fixture
def approval(approved: Review) -> Approval:
    return Approval.objects.get(version=approved.version)


class TestPasskeys:
    @pytest.fixture
    def given(self, review: Review, bob: User, carol: User, keys: dict[str, SoftKey]) -> dict[str, SignOff]:
        return {
            "bob": by_passkey(review, "validator", bob, keys["bob"]),
            "carol": by_passkey(review, "risk", carol, keys["carol"]),
        }

    def test_two_signatures_by_passkey_make_an_approval(self, given: dict[str, SignOff]) -> None:
        assert as_it_stands(given["carol"]).standing is Standing.COUNTS
        assert unsound(Approval.objects.get()) == ""

    @pytest.mark.parametrize(
        ("column", "whose"), [("assertion", ""), ("enrolment", ""), ("assertion", "bob"), ("enrolment", "bob")]
    )
    def test_statement_without_the_assertion_of_its_signer_counts_for_nothing(
        self, given: dict[str, SignOff], column: str, whose: str
    ) -> None:
        kept = given["carol"].reauthentication
        other = getattr(given[whose].reauthentication, column) if whose else {}
        with without_triggers():
            type(kept).objects.filter(pk=kept.pk).update(**{column: other})

        assert as_it_stands(SignOff.objects.get(pk=given["carol"].pk)).standing is Standing.FORGED
        assert unsound(Approval.objects.get()) == TOO_FEW

    def test_other_words_over_the_same_assertion_count_for_nothing(self, given: dict[str, SignOff]) -> None:
        rewrite(given["carol"], resealed(given["carol"].statement, reason="I like it."))

        assert unsound(Approval.objects.get()) == TOO_FEW


def test_confirmation_that_the_policy_does_not_accept_fills_no_slot(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, keys: dict[str, SoftKey]
) -> None:
    in_force(reauthentication=["passkey"])
    review = ask(make_candidate(), production, alice)
    by_passkey(review, "validator", bob, keys["bob"])
    given = by_passkey(review, "risk", carol, keys["carol"])
    said = open_sealed(given.statement, registry_signer().public)["predicate"]["reauthentication"]

    rewrite(given, resealed(given.statement, reauthentication=said | {"method": "password"}))

    assert unsound(Approval.objects.get()) == TOO_FEW


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact": "0" * 64},
        {"model": "loans"},
        {"version": 9},
        {"stage": "staging"},
        {"review": "00000000-0000-4000-8000-000000000000"},
        {"round": 2},
        {"slot": {"key": "validator", "title": "Validator"}},
        {"decision": "approve_with_conditions"},
        {"reviewer": {"id": "00000000-0000-4000-8000-000000000000", "name": "", "username": ""}},
        {"on_behalf_of": {"id": "00000000-0000-4000-8000-000000000000"}},
        {"policy": "0" * 64},
        {"kind": "https://countersign.dev/exception/v1"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_statement_about_something_else_fills_no_slot(approval: Approval, changes: dict[str, Any]) -> None:
    given = SignOff.objects.get(slot__key="risk")

    rewrite(given, resealed(given.statement, **changes))

    assert unsound(approval) == TOO_FEW


@pytest.mark.parametrize(
    "changes",
    [{"slot": {"key": "validator", "title": "Validator"}}, {"round": 2}, {"reviewer": {"id": "", "name": ""}}],
    ids=lambda changes: next(iter(changes)),
)
def test_statement_of_another_slot_round_or_person_is_shown_as_forged(
    approval: Approval, changes: dict[str, Any]
) -> None:
    given = SignOff.objects.get(slot__key="risk")

    rewrite(given, resealed(given.statement, **changes))

    assert as_it_stands(SignOff.objects.get(pk=given.pk)).standing is Standing.FORGED


def test_files_that_are_not_those_of_the_digest_do_not_hold(approval: Approval) -> None:
    with without_triggers():
        ModelVersion.objects.filter(pk=approval.version_id).update(manifest=approval.version.manifest[1:])

    assert unsound(approval) == "The version's files are not those of its digest."


def test_request_for_changes_whose_dismissal_was_undone_does_not_hold(
    review: Review, bob: User, carol: User, dave: User
) -> None:
    join(dave, "Risk officers")
    asked = sign(review, "risk", dave, decision="request_changes", reason="Explain the age gap.")
    dismiss_changes_request(asked, reason="It is explained.", by=as_(carol))
    sign(review, "validator", bob)
    sign(review, "risk", carol)
    assert unsound(Approval.objects.get()) == ""

    with without_triggers():
        SignOff.objects.filter(pk=asked.pk).update(withdrawn_at=None, withdrawn_why="", dismissed_by=None)

    assert unsound(Approval.objects.get()) == "Changes were requested."


def test_statement_over_the_facets_of_other_bytes_fills_no_slot(approval: Approval) -> None:
    given = SignOff.objects.get(slot__key="risk")
    facets = open_sealed(given.statement, registry_signer().public)["predicate"]["facets"]

    rewrite(given, resealed(given.statement, facets=facets | {"artifact": "0" * 64}))

    assert as_it_stands(SignOff.objects.get(pk=given.pk)).standing is Standing.FORGED


def test_statement_under_another_digest_than_its_rows_fills_no_slot(approval: Approval) -> None:
    with without_triggers():
        SignOff.objects.filter(slot__key="risk").update(statement_digest="0" * 64)

    assert unsound(approval) == TOO_FEW


def test_slot_that_answers_for_less_than_the_policy_asks_is_not_filled(approval: Approval) -> None:
    with without_triggers():
        approval.round.slots.filter(key="risk").update(facets=[])

    assert unsound(approval) == TOO_FEW


def _forge_subject_digest(approval: Approval) -> None:
    type(approval.round).objects.filter(pk=approval.round_id).update(subject_digest="0" * 64)


def _forge_subject(approval: Approval) -> None:
    text = approval.round.subject.replace(approval.version.digest, "0" * 64)
    type(approval.round).objects.filter(pk=approval.round_id).update(
        subject=text, subject_digest=sha256_hex(text.encode())
    )


def _forge_policy(approval: Approval) -> None:
    subject = frozen(approval.round)
    text = subject.text.replace(subject.facets["policy"], "0" * 64)
    type(approval.round).objects.filter(pk=approval.round_id).update(
        subject=text, subject_digest=sha256_hex(text.encode())
    )


def _forge_stage(approval: Approval) -> None:
    Review.objects.filter(pk=approval.round.review_id).update(stage=Stage.objects.get(name="staging"))


def _forge_round(approval: Approval) -> None:
    type(approval.round).objects.filter(pk=approval.round_id).update(state="open", closed_at=None)


def _forge_state(approval: Approval) -> None:
    ModelVersion.objects.filter(pk=approval.version_id).update(state="retired")


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (_forge_subject_digest, "The frozen subject does not match its digest."),
        (_forge_subject, "The signed bytes are not the version's bytes."),
        (_forge_policy, "The policy of the round is not the one that was signed."),
        (_forge_stage, "The round is about another version or stage."),
        (_forge_round, "The round was not approved."),
        (_forge_state, "The version is retired."),
    ],
    ids=lambda one: one.__name__.removeprefix("_forge_") if callable(one) else "",
)
def test_rows_around_the_signatures_are_not_believed(
    approval: Approval, forge: Callable[[Approval], None], why: str
) -> None:
    with without_triggers():
        forge(approval)

    assert unsound(approval) == why


def test_approval_that_ran_out_does_not_hold(approval: Approval) -> None:
    before, end = approval.valid_until - timedelta(microseconds=1), approval.valid_until

    assert why_unsound(approval, before, released=False) == ""
    assert why_unsound(approval, end, released=False) == "The approval has run out."


def test_lapse_is_believed_whatever_the_version_s_row_says(approval: Approval) -> None:
    Lapse.objects.create(approval=approval, kind=Lapse.Kind.EXPIRED, reason="Over.", at=timezone.now())

    assert unsound(approval) == "The approval has lapsed."


@pytest.mark.parametrize("left", ["approval", "version"])
def test_revocation_is_believed_whatever_the_version_s_row_says(
    approval: Approval, make_candidate: MakeCandidate, carol: User, left: str
) -> None:
    revoke(approval.version, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))
    with without_triggers():
        ModelVersion.objects.filter(pk=approval.version_id).update(state="approved")
        if left == "version":
            Approval.objects.update(revocation=None)
        else:
            Revocation.objects.update(version=make_candidate())

    assert unsound(approval) == "The approval was revoked."


class TestRelease:
    @pytest.fixture
    def live(self, approval: Approval, rita: User) -> Approval:
        promote(approval.version, approval.stage, by=as_(rita))
        return Approval.objects.select_related("promotion", "version__model", "stage").get(pk=approval.pk)

    def test_the_release_by_which_it_went_live_holds(self, live: Approval) -> None:
        assert why_unsound(live, timezone.now(), released=True) == ""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"model": "loans"}, "The release names another version or stage."),
            ({"stage": "staging"}, "The release names another version or stage."),
            ({"basis": "envelope"}, "The release cites another basis."),
            ({"round": "another/1"}, "The release cites another round."),
            ({"subject_digest": "0" * 64}, "The release cites another subject."),
            ({"policies": []}, "The release cites another policy."),
            ({"sign_offs": []}, "The release cites other signatures."),
            ({"exceptions": ["0" * 64]}, "The release cites other exceptions."),
            ({"break_glass": {}}, "The release cites another break-glass."),
            ({"envelope": {}}, "The release cites another envelope."),
            ({"pulls_until": "2020-01-01T00:00:00+00:00"}, "The release has run out."),
        ],
        ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
    )
    def test_release_that_says_something_else_does_not_hold(
        self, live: Approval, changes: dict[str, Any], why: str
    ) -> None:
        assert live.promotion is not None
        forged = resealed(live.promotion.release, **changes)
        live.promotion.release, live.promotion.release_digest = dict(forged), envelope_digest(forged)

        assert why_unsound(live, timezone.now(), released=True) == why

    def test_release_under_another_digest_than_its_row_does_not_hold(self, live: Approval) -> None:
        assert live.promotion is not None
        live.promotion.release = dict(resealed(live.promotion.release, at="then"))

        assert why_unsound(live, timezone.now(), released=True) == "The release does not match its digest."

    def test_approval_that_was_never_promoted_is_not_pulled(self, approval: Approval) -> None:
        assert why_unsound(approval, timezone.now(), released=True) == "It was never promoted."


class TestBreakGlass:
    @pytest.fixture
    def ahead(self, candidate: ModelVersion, production: Stage, rita: User, carol: User) -> Approval:
        with time_machine.travel(timezone.now(), tick=False):
            case = ask_ahead(
                candidate,
                production,
                reason="outage",
                text="The live version refuses everybody.",
                hours=2,
                reauthentication=proof_of(rita),
                by=as_(rita),
            )
            second(case, reauthentication=proof_of(carol), by=as_(carol))
        return Approval.objects.get(break_glass=case)

    def test_two_statements_hold(self, ahead: Approval) -> None:
        assert emergencies.ground(ahead).problem == ""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"role": "declines"}, "not those that were signed"),
            ({"stage": "staging"}, "another version, stage or other bytes"),
            ({"artifact": "0" * 64}, "another version, stage or other bytes"),
            ({"asked": "0" * 64}, "answers another break-glass"),
            ({"hours": 100}, "answers another break-glass"),
            ({"person": "asker"}, "takes two"),
            ({"issued": "late"}, "not seconded in time"),
            ({"issued": "early"}, "not seconded in time"),
            ({"kind": "https://countersign.dev/sign-off/v1"}, "does not hold"),
        ],
        ids=lambda one: "-".join(map(str, one)) if isinstance(one, dict) else "",
    )
    def test_second_statement_that_says_something_else_does_not_hold(
        self, ahead: Approval, rita: User, changes: dict[str, Any], why: str
    ) -> None:
        case = ahead.break_glass
        assert case is not None
        assert case.asked_at is not None
        words = {
            "asker": {"id": str(rita.uuid), "name": "", "username": ""},
            "late": (case.asked_at + timedelta(hours=2)).isoformat(),
            "early": (case.asked_at - timedelta(seconds=1)).isoformat(),
        }
        envelope = resealed(
            case.seconded_statement, **{name: words.get(value, value) for name, value in changes.items()}
        )
        case.seconded_statement, case.seconded_digest = dict(envelope), envelope_digest(envelope)

        assert why in emergencies.ground(ahead).problem

    def test_statement_under_another_digest_than_its_row_does_not_hold(self, ahead: Approval) -> None:
        case = ahead.break_glass
        assert case is not None
        case.seconded_statement = dict(resealed(case.seconded_statement, reason="Another one."))

        assert "not those that were signed" in emergencies.ground(ahead).problem

    def test_without_its_case_nothing_holds(self, ahead: Approval) -> None:
        ahead.break_glass = None

        assert emergencies.ground(ahead).problem == "No break-glass stands behind it."


class TestEnvelope:
    @pytest.fixture
    def used(self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained) -> Approval:
        version = trained(of=base, auc=0.851)
        tick(timezone.now())
        return Approval.objects.get(version=version)

    def test_signatures_under_the_bounds_hold(self, used: Approval) -> None:
        assert within.ground(used, timezone.now()).problem == ""

    @pytest.mark.parametrize(
        "changes",
        [
            {"artifact": "0" * 64},
            {"slot": {"key": "validator", "title": "Validator"}},
            {"signer": {"id": "00000000-0000-4000-8000-000000000000", "name": "", "username": ""}},
            {"envelope": "00000000-0000-4000-8000-000000000000"},
            {"expires": "2020-01-01T00:00:00+00:00"},
            {"kind": "https://countersign.dev/sign-off/v1"},
            {"reauthentication": {"method": "passkey"}},
            {"reauthentication": {"method": "a wink"}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_signature_that_says_something_else_counts_for_nothing(
        self, used: Approval, changes: dict[str, Any]
    ) -> None:
        assert used.envelope is not None
        row = used.envelope.signatures.get(slot_key="risk")
        forged = resealed(row.statement, **changes)
        with without_triggers():
            used.envelope.signatures.filter(pk=row.pk).update(
                statement=dict(forged), statement_digest=envelope_digest(forged)
            )

        problem = within.ground(used, timezone.now()).problem
        assert problem == "Valid signatures under the envelope do not fill every slot of the policy."

    def test_approval_at_another_stage_does_not_hold(self, used: Approval) -> None:
        used.stage = Stage.objects.get(name="staging")

        assert within.ground(used, timezone.now()).problem == "The envelope is for another model or stage."

    def test_round_of_another_version_does_not_hold(self, used: Approval, base: ModelVersion) -> None:
        used.round.review.version = base

        assert within.ground(used, timezone.now()).problem == "The round is about another version or stage."

    def test_subject_of_other_bytes_does_not_hold(self, used: Approval) -> None:
        digest = used.round.subject_digest
        used.round.subject_digest = "0" * 64
        renamed = within.ground(used, timezone.now()).problem
        used.round.subject_digest = digest
        used.version.digest = "0" * 64

        assert renamed == within.ground(used, timezone.now()).problem
        assert renamed == "The frozen subject is not that of these bytes."

    def test_signer_with_a_hand_in_the_version_does_not_count_for_it(self, used: Approval, bob: User) -> None:
        with without_triggers():
            ModelVersion.objects.filter(pk=used.version_id).update(trained_by=bob)
        used.version.refresh_from_db()

        assert "do not fill every slot" in within.ground(used, timezone.now()).problem

    def test_without_its_envelope_nothing_holds(self, used: Approval) -> None:
        used.envelope = None

        assert within.ground(used, timezone.now()).problem == "No retraining envelope stands behind it."
