"""What stands under an approval, read from signed statements: conditions, exceptions, who signed for whom, break-glass."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from access.models import User
from audit.events import Obj
from foundation.refusals import NotFound
from registry.models import ModelVersion, Promotion, Stage
from reports.certificate import Certificate, Holds, certificate_of
from reports.pdf import pdf_of, printed
from reports.signed import line_of
from reviews.actions import answer_finding, close_finding
from reviews.models import Approval, Finding, GateException, Grace, Lapse, Review, Round, SignOff
from reviews.promotion import promote
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reports.standing import allow_conditions, allow_exceptions, break_the_glass, except_gate, stand_in
from tests.reviews.conditional import condition, only_finding, sign_with
from tests.reviews.conftest import MakeCandidate, ask, sign

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
DAY = timedelta(days=1)


def certificate(version: ModelVersion, number: int | None = None) -> Certificate:
    return certificate_of(ModelVersion.objects.get(pk=version.pk), at=timezone.now(), number=number)


def page_of(certificate: Certificate, client: Client) -> str:
    version = certificate.version
    return client.get(f"/models/{version.model.name}/v/{version.number}/certificate/").content.decode()


class TestConditions:
    @pytest.fixture
    def conditional(
        self, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
    ) -> Review:
        allow_conditions()
        review = ask(make_candidate(), production, alice)
        sign_with(review, "validator", bob, condition(alice))
        sign(review, "risk", carol)
        return review

    def test_an_open_condition_is_printed_with_owner_and_date(
        self, conditional: Review, client_for: ClientFor, dave: User
    ) -> None:
        found = certificate(conditional.version)

        (line,) = found.conditions
        assert (line.title, line.severity, line.owner, line.state) == (
            "Explain the gap under 25",
            "Major",
            "Alice Moreau",
            "open",
        )
        assert "Explain the gap under 25" in page_of(found, client_for(dave))
        assert "Explain the gap under 25" in printed(found)
        assert "Approve with conditions" in printed(found)

    def test_a_met_condition_says_so(self, conditional: Review, alice: User, bob: User) -> None:
        answer_finding(only_finding(), "Done, see the new slices.", by=as_(alice))
        close_finding(only_finding(), "I read the slices.", by=as_(bob))

        assert [one.state for one in certificate(conditional.version).conditions] == ["met"]

    def test_an_overdue_condition_says_so_whatever_the_row_says(self, conditional: Review) -> None:
        Finding.objects.update(due_at=timezone.now() + 300 * DAY)

        with time_machine.travel(timezone.now() + 20 * DAY):
            assert [one.state for one in certificate(conditional.version).conditions] == ["overdue"]


class TestExceptions:
    @pytest.fixture
    def excepted(self, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User) -> Review:
        allow_exceptions("auc-floor", slot="risk")
        review = ask(make_candidate(auc=0.70), production, alice)
        except_gate(review, "auc-floor", carol)
        sign(review, "validator", bob)
        sign(review, "risk", carol)
        return review

    def test_an_exception_is_printed_with_control_and_end(
        self, excepted: Review, client_for: ClientFor, dave: User
    ) -> None:
        found = certificate(excepted.version)

        (line,) = found.exceptions
        assert line.gate == "It ranks people well enough"
        assert (line.signature.name, line.signature.capacity, line.why_not) == ("Carol Adeyemi", "Risk officer", "")
        assert line.ends_at > timezone.now() + 59 * DAY
        for text in (page_of(found, client_for(dave)), printed(found)):
            assert "Every refusal is read by a person." in text
            assert "It ranks people well enough" in text

    def test_an_exception_that_ended_is_said_to_be_over(self, excepted: Review) -> None:
        with time_machine.travel(timezone.now() + 61 * DAY):
            found = certificate(excepted.version)

        assert found.exceptions[0].why_not.startswith("It ended on")
        assert "NOT IN FORCE" in printed(found)

    def test_what_a_row_says_against_the_statement_is_not_printed(self, excepted: Review) -> None:
        with without_triggers():
            GateException.objects.update(ends_at=timezone.now() + 900 * DAY)

        assert certificate(excepted.version).exceptions == ()


class TestForSomebodyElse:
    def test_who_signed_for_whom_is_printed(
        self, review: Review, bob: User, carol: User, client_for: ClientFor, dave: User
    ) -> None:
        frank, _ = stand_in(carol, "Risk officers")
        sign(review, "validator", bob)
        sign(review, "risk", frank, on_behalf_of="carol")

        found = certificate(review.version)

        assert [one.names for one in found.signatures] == ["Bob Lindqvist", "Frank Weiss for Carol Adeyemi"]
        assert "Frank Weiss for Carol Adeyemi" in page_of(found, client_for(dave))
        assert "Frank Weiss for Carol Adeyemi" in printed(found)


class TestBreakGlass:
    def test_it_is_said_loudly_with_both_signatures(
        self, candidate: ModelVersion, production: Stage, rita: User, carol: User, client_for: ClientFor, dave: User
    ) -> None:
        break_the_glass(candidate, production, rita, carol)

        found = certificate(candidate)

        assert found.ahead_of_review
        assert found.holds is Holds.IN_FORCE
        assert [(one.capacity, one.name) for one in found.signatures] == [
            ("Asked for it", "Rita Fernandes"),
            ("Seconded it", "Carol Adeyemi"),
        ]
        assert "Break-glass: live ahead of its review" in page_of(found, client_for(dave))
        assert "BREAK-GLASS: live ahead of its review" in printed(found)
        assert pdf_of(printed(found)).startswith(b"%PDF-")


class TestEnded:
    def test_a_lapse_says_why_and_when(self, released: ModelVersion) -> None:
        approval = Approval.objects.get()
        Lapse.objects.create(
            approval=approval, kind=Lapse.Kind.CONDITION, reason="The gap was not explained.", at=timezone.now()
        )

        found = certificate(released)

        assert found.holds is Holds.ENDED
        assert "The gap was not explained." in found.why_not
        assert "Sign-off certificate: ENDED" in printed(found)

    def test_after_the_end_it_says_how_long_pulls_go_on(self, released: ModelVersion) -> None:
        approval = Approval.objects.get()
        Approval.objects.filter(pk=approval.pk).update(pulls_until=approval.valid_until + 30 * DAY)

        with time_machine.travel(approval.valid_until + DAY):
            found = certificate(released)

        assert found.holds is Holds.EXPIRED
        assert "pull it until" in found.why_not

    def test_an_older_approval_says_that_a_newer_one_took_its_place(
        self, approved: Review, client_for: ClientFor, dave: User
    ) -> None:
        first = Approval.objects.get()
        newer = renewed(first)

        found = certificate(approved.version, number=first.pk)

        assert found.holds is Holds.SUPERSEDED
        assert not found.in_force
        assert found.successor == newer
        page = client_for(dave).get(f"/models/credit/v/1/certificate/?approval={first.pk}").content.decode()
        assert "Open the newer certificate" in page
        assert "SUPERSEDED" in printed(found)

    def test_a_newer_approval_that_is_not_released_takes_the_place_of_no_released_one(
        self, released: ModelVersion
    ) -> None:
        first = Approval.objects.get()
        renewed(first)

        assert certificate(released, number=first.pk).holds is Holds.IN_FORCE

    def test_a_newer_approval_that_ended_took_no_place(self, approved: Review) -> None:
        first = Approval.objects.get()
        Lapse.objects.create(approval=renewed(first), kind=Lapse.Kind.GRACE, reason="Too late.", at=timezone.now())

        assert certificate(approved.version, number=first.pk).holds is Holds.NOT_RELEASED

    @pytest.mark.parametrize("number", ["99999999", "x", "-1", "1" * 30])
    def test_an_approval_that_there_is_not_is_not_found(
        self, released: ModelVersion, client_for: ClientFor, dave: User, number: str
    ) -> None:
        assert client_for(dave).get(f"/models/credit/v/1/certificate/?approval={number}").status_code == 404

    def test_an_approval_of_another_version_is_not_found(
        self, released: ModelVersion, make_candidate: MakeCandidate
    ) -> None:
        another = make_candidate()

        with pytest.raises(NotFound):
            certificate(another, number=Approval.objects.get().pk)


class TestNotes:
    def test_a_version_that_is_live_no_more_says_what_is(
        self,
        released: ModelVersion,
        make_candidate: MakeCandidate,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> None:
        newer = ask(make_candidate(), production, alice)
        sign(newer, "validator", bob)
        sign(newer, "risk", carol)
        promote(newer.version, production, by=as_(rita))

        assert certificate(released).notes == ("It is not live in production any more: version 2 is.",)
        assert certificate(newer.version).notes == ()

    def test_a_grace_is_told_with_what_is_not_met(
        self, released: ModelVersion, client_for: ClientFor, dave: User
    ) -> None:
        approval = Approval.objects.get()
        policy = approval.round.policies.get()
        Grace.objects.create(approval=approval, policy_version=policy, until=timezone.now() + DAY, unmet=["No audit."])

        found = certificate(released)

        assert "Not met: No audit." in found.notes[0]
        assert "Not met: No audit." in page_of(found, client_for(dave))

    def test_a_promotion_by_the_clock_says_so(self, released: ModelVersion, client_for: ClientFor, dave: User) -> None:
        with without_triggers():
            Promotion.objects.update(by=None)

        assert "by the clock" in page_of(certificate(released), client_for(dave))
        assert "the clock" in client_for(dave).get("/reports/promotions.csv").content.decode()


def test_a_statement_that_the_registry_did_not_sign_is_no_line(approved: Review) -> None:
    given = SignOff.objects.first()
    assert given is not None
    said = base64.b64decode(given.statement["payload"]).replace(b"Bob Lindqvist", b"Rob Lindqvist")
    forged = given.statement | {"payload": base64.b64encode(said).decode()}

    assert line_of(given.statement, obj=Obj("sign_off", "x")) is not None
    assert line_of(forged, obj=Obj("sign_off", "x")) is None
    assert line_of({}, obj=Obj("sign_off", "x")) is None


def renewed(approval: Approval) -> Approval:
    """A later approval of the same version for the same stage."""
    old = approval.round
    round_ = Round.objects.create(
        review=old.review,
        number=old.number + 1,
        state=Round.State.APPROVED,
        subject=old.subject,
        subject_digest=old.subject_digest,
        opened_by=old.opened_by,
        closed_at=timezone.now(),
    )
    until = approval.valid_until + 365 * DAY
    return Approval.objects.create(
        version=approval.version, stage=approval.stage, round=round_, valid_until=until, pulls_until=until
    )
