"""The reports on governance: who may see them, what stands there, what leaves as CSV, and how many statements they take."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from access.models import User
from registry.models import ModelVersion, RegisteredModel, Stage
from reports.attention import attention
from reports.forms import Period
from reports.gathering import facts_of
from reports.quality import quality
from reviews.models import (
    Approval,
    BreakGlass,
    EvidenceReading,
    Finding,
    GateException,
    Grace,
    RetrainingEnvelope,
    Review,
    Round,
    Slot,
)
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reports.standing import break_the_glass
from tests.reviews.conftest import MakeCandidate, ask, proof_of, sign

ClientFor = Callable[[User], Client]
DAY = timedelta(days=1)


def finding(version: ModelVersion, owner: User, days: float = 5, **more: object) -> Finding:
    return Finding.objects.create(
        version=version,
        title="Explain the age gap",
        severity="major",
        owner=owner,
        due_at=timezone.now() + days * DAY,
        verifying_group=Group.objects.get(name="Model validation"),
        **more,
    )


def exception(review: Review, person: User, *, days: float = 30, gate: str = "auc", **more: object) -> GateException:
    now = timezone.now()
    round_ = review.current_round
    return GateException.objects.create(
        round=round_,
        gate_key=gate,
        slot=Slot.objects.get(round=round_, key="risk"),
        person=person,
        reason="A known artefact of the sample",
        compensating_control='=HYPERLINK("http://x")',
        ends_at=now + days * DAY,
        statement={},
        statement_digest=f"{gate}{days}".ljust(64, "0")[:64],
        reauthentication=proof_of(person),
        signed_at=now,
        **more,
    )


def break_glass(review: Review, asker: User, second: User, *, asked: timedelta = timedelta(0)) -> BreakGlass:
    now = timezone.now() - asked
    return BreakGlass.objects.create(
        review=review,
        version=review.version,
        stage=review.stage,
        reason="outage",
        text="The live version answers with errors",
        state=BreakGlass.State.ROLLED_BACK,
        asked_by=asker,
        asked_at=now,
        asked_statement={},
        asked_digest="a" * 64,
        asked_reauthentication=proof_of(asker),
        seconded_by=second,
        seconded_at=now,
        seconded_statement={},
        seconded_digest="b" * 64,
        seconded_reauthentication=proof_of(second),
        ends_at=now + DAY,
    )


def valid_for(approval: Approval, days: float) -> None:
    until = timezone.now() + days * DAY
    Approval.objects.filter(pk=approval.pk).update(valid_until=until, pulls_until=until)


class TestAttention:
    """What needs attention now."""

    def test_open_findings_most_pressing_first(self, candidate: ModelVersion, alice: User, dave: User) -> None:
        later, overdue = finding(candidate, alice, 9), finding(candidate, alice, -1)
        finding(candidate, alice, state=Finding.State.CLOSED, closed_at=timezone.now())

        assert list(attention(Period(), as_(dave)).findings) == [overdue, later]

    def test_exceptions_that_ended_or_were_withdrawn_are_not_in_force(
        self, review: Review, carol: User, dave: User
    ) -> None:
        standing = exception(review, carol, gate="one")
        exception(review, carol, gate="two", days=-1)
        exception(review, carol, gate="three", withdrawn_at=timezone.now())

        assert list(attention(Period(), as_(dave)).exceptions) == [standing]

    def test_an_exception_is_named_as_the_policy_of_its_round_names_the_gate(
        self, review: Review, carol: User, dave: User, client_for: ClientFor
    ) -> None:
        gate = review.current_round.policies.get().content["gates"][0]
        named, unknown = exception(review, carol, gate=gate["key"]), exception(review, carol, gate="gone")

        page = client_for(dave).get("/reports/attention/").content.decode()

        assert named.gate_title == gate["title"] != gate["key"]
        assert f'<th scope="row">{gate["title"]}</th>' in page
        assert unknown.gate_title == "gone"

    def test_an_exception_of_a_round_that_came_to_nothing_is_not_in_force(
        self, review: Review, carol: User, dave: User
    ) -> None:
        exception(review, carol)
        Round.objects.filter(review=review).update(state=Round.State.WITHDRAWN, closed_at=timezone.now())

        assert not attention(Period(), as_(dave)).exceptions

    @pytest.mark.parametrize(("left", "within"), [(6.9, [7]), (29, [30]), (59, [60]), (61, []), (-1, [])])
    def test_approvals_run_out_in_seven_thirty_and_sixty_days(
        self, released: ModelVersion, dave: User, left: float, within: list[int]
    ) -> None:
        valid_for(Approval.objects.get(), left)

        assert [one.days for one in attention(Period(), as_(dave)).endings] == within

    def test_an_approval_that_was_renewed_runs_out_quietly(self, released: ModelVersion, dave: User) -> None:
        first = Approval.objects.get()
        newest = first.round
        again = Round.objects.create(
            review=newest.review,
            number=newest.number + 1,
            state=Round.State.APPROVED,
            subject=newest.subject,
            subject_digest=newest.subject_digest,
            opened_by=newest.opened_by,
            closed_at=timezone.now(),
        )
        until = timezone.now() + 400 * DAY
        Approval.objects.create(version=released, stage=first.stage, round=again, valid_until=until, pulls_until=until)
        valid_for(first, 5)

        assert not attention(Period(), as_(dave)).endings

    def test_a_break_glass_is_not_among_what_runs_out(
        self, candidate: ModelVersion, production: Stage, rita: User, carol: User, dave: User
    ) -> None:
        case = break_the_glass(candidate, production, rita, carol)

        found = attention(Period(), as_(dave))

        assert not found.endings
        assert list(found.break_glasses) == [case]

    def test_what_is_used_no_more_does_not_run_out(self, released: ModelVersion, dave: User) -> None:
        valid_for(Approval.objects.get(), 5)
        ModelVersion.objects.filter(pk=released.pk).update(state=ModelVersion.State.RETIRED)

        assert not attention(Period(), as_(dave)).endings

    def test_break_glass_uses_are_those_of_the_period(
        self, review: Review, rita: User, carol: User, dave: User
    ) -> None:
        used = break_glass(review, rita, carol, asked=3 * DAY)
        today = timezone.now().date()

        assert list(attention(Period(), as_(dave)).break_glasses) == [used]
        assert not attention(Period(since=today), as_(dave)).break_glasses

    def test_live_versions_under_grace(self, released: ModelVersion, dave: User) -> None:
        approval = Approval.objects.get()
        policy = approval.round.policies.get()
        grace = Grace.objects.create(
            approval=approval, policy_version=policy, until=timezone.now() + DAY, unmet=["No audit of the data."]
        )

        assert list(attention(Period(), as_(dave)).graces) == [grace]
        Approval.objects.filter(pk=approval.pk).update(promotion=None)
        assert not attention(Period(), as_(dave)).graces

    def test_the_tier_and_the_model_narrow_and_others_models_stay_hidden(
        self, review: Review, candidate: ModelVersion, alice: User, dave: User, root: User
    ) -> None:
        finding(candidate, alice)

        assert not attention(Period(tier=3), as_(dave)).findings
        assert not attention(Period(model="other"), as_(dave)).findings
        assert not attention(Period(), as_(root)).findings


@pytest.fixture
def everything(review: Review, alice: User, bob: User, carol: User, rita: User) -> Review:
    """Something in every list that needs no release."""
    finding(review.version, alice, -1)
    exception(review, carol)
    break_glass(review, rita, carol)
    EvidenceReading.objects.create(review=review, person=bob, section="gates", digest="0" * 64)
    sign(review, "validator", bob)
    return review


class TestReckoned:
    """The facts are those of the tables."""

    def test_a_signature_a_reading_and_an_open_seat(self, everything: Review, carol: User, dave: User) -> None:
        found = quality(facts_of(Period(), as_(dave)))

        assert [(one.stage, one.tier, one.rounds, one.n) for one in found.timings] == [("Production", 1, 1, 0)]
        assert (found.reading.n, found.reading.something) == (1, 1)
        assert {one.name: (one.open, one.decided) for one in found.loads} == {
            "Bob Lindqvist": (0, 1),
            "Carol Adeyemi": (1, 0),
        }
        assert [(one.severity, one.raised, one.overdue) for one in found.findings] == [("major", 1, 1)]

    def test_a_decision_after_the_day_is_not_known_on_it(self, approved: Review, dave: User) -> None:
        now = timezone.now()
        opened = now - 9 * DAY
        Round.objects.filter(review=approved).update(opened_at=opened)

        then = quality(facts_of(Period(until=(now - 2 * DAY).date()), as_(dave)))
        today = quality(facts_of(Period(), as_(dave)))

        assert (then.timings[0].n, then.reading.n) == (0, 0)
        assert (today.timings[0].n, today.reading.n) == (1, 2)

    def test_what_an_envelope_let_through_was_decided_by_nobody(
        self, approved: Review, alice: User, dave: User
    ) -> None:
        approval = Approval.objects.get()
        envelope = RetrainingEnvelope.objects.create(
            model=approved.version.model,
            stage=approval.stage,
            base=approved.version,
            bounds={},
            digest="0" * 64,
            why="Monthly",
            valid_until=timezone.now() + DAY,
            proposed_by=alice,
        )
        with without_triggers():
            Approval.objects.update(basis=Approval.Basis.ENVELOPE, envelope=envelope)

        assert quality(facts_of(Period(), as_(dave))).timings == ()

    def test_nothing_is_reckoned_of_models_that_one_may_not_see(self, everything: Review, root: User) -> None:
        found = quality(facts_of(Period(), as_(root)))

        assert (found.timings, found.findings, found.reading.n) == ((), (), 0)

    def test_it_takes_the_same_few_statements_however_much_there_is(
        self,
        everything: Review,
        make_candidate: MakeCandidate,
        model: RegisteredModel,
        production: Stage,
        alice: User,
        bob: User,
        dave: User,
        django_assert_max_num_queries,
    ) -> None:
        for _ in range(3):
            another = ask(make_candidate(), production, alice)
            sign(another, "validator", bob)
            finding(another.version, alice)
        by = as_(dave)

        with django_assert_max_num_queries(12):
            quality(facts_of(Period(), by))
        with django_assert_max_num_queries(16):
            attention(Period(), by)


class TestPages:
    """As people and spreadsheets see it."""

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            (
                "/reports/attention/",
                ["Explain the age gap", "Overdue", "A known artefact", "The live version is failing"],
            ),
            ("/reports/review-quality/", ["never used to decide", "after some", "Bob Lindqvist", ">few<"]),
        ],
    )
    def test_a_page_shows_it(
        self, everything: Review, client_for: ClientFor, dave: User, path: str, said: list[str]
    ) -> None:
        page = client_for(dave).get(path).content.decode()

        assert [one for one in said if one not in page] == []

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("/reports/attention/", "No finding is open."),
            ("/reports/review-quality/", "No round in this period"),
            ("/reports/review-quality/?since=x&tier=9", "No round in this period"),
        ],
    )
    def test_a_page_says_what_is_empty(self, client_for: ClientFor, dave: User, path: str, said: str) -> None:
        assert said in client_for(dave).get(path).content.decode()

    @pytest.mark.parametrize("what", ["findings", "exceptions", "break-glass"])
    def test_a_list_leaves_as_csv_in_which_nothing_acts_as_a_formula(
        self, everything: Review, client_for: ClientFor, dave: User, what: str
    ) -> None:
        answer = client_for(dave).get(f"/reports/attention/{what}.csv")

        (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
        assert (line["model"], line["version"]) == ("credit", "1")
        assert not line.get("compensating_control", "").startswith("=")

    @pytest.mark.parametrize("what", ["running-out", "grace"])
    def test_lists_of_releases_leave_as_csv(
        self, released: ModelVersion, client_for: ClientFor, dave: User, what: str
    ) -> None:
        approval = Approval.objects.get()
        valid_for(approval, 5)
        policy = approval.round.policies.get()
        Grace.objects.create(approval=approval, policy_version=policy, until=timezone.now(), unmet=["Too old."])

        (line,) = csv.DictReader(io.StringIO(client_for(dave).get(f"/reports/attention/{what}.csv").content.decode()))

        assert line["model"] == "credit"

    @pytest.mark.parametrize(
        ("what", "expected"),
        [
            ("times", {"stage": "Production", "rounds": "1", "decided": "0", "median_hours": ""}),
            ("opened", {"section": "gates", "signatures": "1", "after_marking_it": "1"}),
            ("load", {"reviewer": "Bob Lindqvist", "decided": "1"}),
            ("findings", {"severity": "major", "overdue": "1"}),
        ],
    )
    def test_a_table_of_the_report_leaves_as_csv(
        self, everything: Review, client_for: ClientFor, dave: User, what: str, expected: dict[str, str]
    ) -> None:
        answer = client_for(dave).get(f"/reports/review-quality/{what}.csv")

        line = next(csv.DictReader(io.StringIO(answer.content.decode())))
        assert {name: line[name] for name in expected} == expected

    def test_agreement_leaves_as_csv(self, approved: Review, client_for: ClientFor, dave: User) -> None:
        answer = client_for(dave).get("/reports/review-quality/agreement.csv")

        (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
        assert (line["pairs"], line["agreed"]) == ("1", "1")

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        "path",
        [
            "/reports/attention/",
            "/reports/attention/findings.csv",
            "/reports/review-quality/",
            "/reports/review-quality/times.csv",
        ],
    )
    def test_reports_are_for_those_who_may_see_models(self, client_for: ClientFor, root: User, path: str) -> None:
        assert client_for(root).get(path).status_code == 403
        assert Client().get(path).status_code in {302, 401}
