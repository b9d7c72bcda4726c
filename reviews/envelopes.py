"""Retraining envelopes: reviewers sign once, with an end, the bounds within which a retrained version goes live without a new round.

Inside every bound, and with every gate of the policy passed, the clock promotes and cites the signatures. Outside any bound nothing
happens by itself: a normal review is needed, and the page says which bound it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Max, QuerySet
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, Verdict, permit, verdict
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit import integrity
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid, Requirement
from notices.actions import tell
from notices.models import Notification
from registry import queries as registry
from registry.lifecycle import move
from registry.models import Evidence, ModelVersion, RegisteredModel, Stage
from reviews import announcements, within
from reviews.actions.cases import person_of
from reviews.bounds import SEED, Bounds, Made, MetricBound, Setting, evaluate, parse
from reviews.clock import CLOCK, Effect, due
from reviews.evaluation import Evaluation, examine, page_of
from reviews.independence import Deed, Relation, eligibility
from reviews.locking import locked_version
from reviews.models import (
    Approval,
    EnvelopeSignature,
    GateResult,
    PolicyVersion,
    RetrainingEnvelope,
    Review,
    Round,
    Slot,
)
from reviews.people import candidate, deeds_of, eligible_people, seat_of
from reviews.policies import Rules, SlotRule
from reviews.promotion import place
from reviews.proof import why_unsound
from reviews.queries import approval_in_force
from reviews.rulebook import rules_for
from reviews.statements import MAX_REASON
from reviews.subjects import subject_of

State = RetrainingEnvelope.State


@governed(Action.ENVELOPE_PROPOSE)
def propose_envelope(
    model: RegisteredModel,
    stage: Stage,
    *,
    base: ModelVersion,
    bounds: Mapping[str, Any],
    why: str,
    valid_until: datetime,
    by: Principal,
) -> RetrainingEnvelope:
    """Put bounds before the reviewers of the policy in force. `base`: the approved version that retraining starts from."""
    base = locked_version(base)
    permit(by, Permission.REQUEST_REVIEW, base.model)
    person = person_of(by)
    rules = rules_for(base.model.tier, stage)
    read = parse(bounds)
    _check_proposal(model, stage, base, rules, why, valid_until)
    envelope = RetrainingEnvelope(
        model=base.model,
        stage=stage,
        base=base,
        bounds=read.as_dict(),
        why=why.strip(),
        valid_until=valid_until,
        proposed_by=person,
    )
    envelope.digest = digest_of(within.document(envelope, [ref.as_dict() for ref in rules.refs]))
    envelope.save()
    for ref in rules.refs:
        envelope.policies.add(PolicyVersion.objects.get(policy__name=ref.name, number=ref.number))
    append(
        Action.ENVELOPE_PROPOSE,
        by=by,
        obj=envelope.ledger_ref(),
        after={"stage": stage.name, "base": base.number, "bounds": envelope.digest, "until": valid_until.isoformat()},
    )
    people = [one for slot in rules.slots for one in eligible_people(slot, deeds_for(envelope))]
    _tell(envelope, people, "proposed", f"{person} proposes a retraining envelope for {model.name}", why.strip())
    return envelope


@governed(Action.ENVELOPE_SIGN)
def sign_envelope(
    envelope: RetrainingEnvelope, slot_key: str, *, reason: str, reauthentication: Confirmation, by: Principal
) -> EnvelopeSignature:
    """Sign the bounds in one slot of the policy; the last missing signature puts the envelope in force. Uses up `reauthentication`."""
    envelope = _locked(envelope)
    permit(by, Permission.SEE_MODEL, envelope.model)
    person = person_of(by)
    rules = rules_for(envelope.model.tier, envelope.stage)
    slot = next((one for one in rules.slots if one.key == slot_key), None)
    if slot is None:
        keys = ", ".join(one.key for one in rules.slots)
        raise Invalid(f"The policy has no slot {slot_key}; it has {keys}.", errors={"slot": f"Choose one of {keys}."})
    answer = may_sign(by, envelope, slot)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-eligible")
    _check_signable(envelope, rules)
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Invalid("Give the reason for your decision.", errors={"reason": "Give the reason for your decision."})
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    pulls_until = envelope.valid_until + timedelta(days=rules.pulls_after_expiry_days)
    statement = within.seal(envelope, slot, proof, reason=reason.strip(), pulls_until=pulls_until)
    given = EnvelopeSignature.objects.create(
        envelope=envelope,
        slot_key=slot.key,
        slot_title=slot.title,
        person=person,
        reason=reason.strip(),
        statement=dict(statement),
        statement_digest=envelope_digest(statement),
        reauthentication=proof.reauthentication,
        signed_at=proof.at,
    )
    given.receipt = append(
        Action.ENVELOPE_SIGN,
        by=by,
        obj=given.ledger_ref(),
        after={"slot": slot.key, "bounds": envelope.digest, "statement": given.statement_digest},
    )
    if within.is_complete(envelope, rules, proof.at):
        envelope.state = State.SIGNED
        envelope.save(update_fields=["state"])
        people = [envelope.model.owner, envelope.proposed_by]
        _tell(envelope, people, "signed", f"The retraining envelope of {envelope.model.name} is in force", envelope.why)
    return given


@governed(Action.ENVELOPE_WITHDRAW)
def withdraw_envelope(envelope: RetrainingEnvelope, *, reason: str, by: Principal) -> RetrainingEnvelope:
    """End an envelope early: nothing more goes live by it. What went live by it stays, until it is revoked or runs out."""
    envelope = _locked(envelope)
    permit(by, Permission.SEE_MODEL, envelope.model)
    answer = may_withdraw(by, envelope)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="may-not-withdraw")
    if envelope.ended_at is not None:
        raise Conflict("This envelope has ended already.", code="envelope-ended")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Invalid("Give the reason.", errors={"reason": "Give the reason; it is kept with the record."})
    _end(envelope, State.WITHDRAWN, reason.strip(), timezone.now(), by)
    return envelope


def may_sign(by: Principal, envelope: RetrainingEnvelope, slot: SlotRule) -> Verdict:
    """Whether `by` may sign the bounds in `slot`: a member, independent of the base version and not the one who proposes."""
    if by.user is None:
        return Verdict(False, "Sign in first.")
    if envelope.signatures.filter(person=by.user).exists():
        return Verdict(False, "You signed these bounds already; one person fills one slot.")
    deeds = deeds_for(envelope)
    answer = eligibility(candidate(by.user), seat_of(slot, deeds), deeds)
    return Verdict(answer.allowed, answer.reason)


def may_withdraw(by: Principal, envelope: RetrainingEnvelope) -> Verdict:
    """Whether `by` may end the envelope: who signed it, who may ask for reviews, and every holder of a slot of its policy."""
    if by.user is None:
        return Verdict(False, "Sign in first.")
    if envelope.signatures.filter(person=by.user).exists():
        return Verdict(True, "You signed it.")
    groups = {slot.group for slot in rules_for(envelope.model.tier, envelope.stage).slots}
    if candidate(by.user).groups & groups:
        return Verdict(True, "You hold a slot of its policy.")
    return verdict(by, Permission.REQUEST_REVIEW, envelope.model)


def deeds_for(envelope: RetrainingEnvelope) -> list[Deed]:
    """Who is too close to the envelope to sign it: who had a hand in the base version, and who proposes it."""
    proposer = envelope.proposed_by
    own = Deed(Relation.REQUESTED, proposer.pk, str(proposer), proposer.owner_id)
    return [own, *deeds_of(envelope.base)]


def suggested(base: ModelVersion, stage: Stage) -> Bounds | None:
    """Bounds to start from: everything as the base version was made, with a little room in metrics and fairness. None without evidence."""
    made, facts = made_of(base), examine(base, stage).facts
    if not made.features or not made.dataset:
        return None
    gap = facts.get("fairness.worst_gap_high") or facts.get("fairness.worst_gap") or 0.0
    return Bounds(
        dataset=made.dataset,
        recipe=made.recipe,
        features=made.features,
        algorithm=made.algorithm,
        settings={name: Setting(allowed=(value,)) for name, value in sorted(made.settings.items()) if name != SEED},
        metrics=(MetricBound("auc", 0.005), MetricBound("ece", 0.01, "lower")),
        worst_gap_at_most=min(1.0, round(float(gap), 3)),
    )


def made_of(version: ModelVersion) -> Made:
    """How the version came to be: from its lineage, and from what the training job measured; what people attached tells nothing of it."""
    data = registry.measured_by_workers(version, Evidence.Kind.DATA)
    training = registry.measured_by_workers(version, Evidence.Kind.METRICS).get("training") or {}
    source = version.dataset_version
    return Made(
        by_training=version.job_uuid is not None,
        dataset=source.dataset.name if source else "",
        recipe=version.recipe.digest if version.recipe else "",
        features=tuple(str(name) for name in data.get("features", ())),
        algorithm=str(training.get("algorithm", "")),
        settings=dict(training.get("settings", {})),
    )


@dataclass(frozen=True)
class Fit:
    """How one version fits one envelope: every bound, every gate of the policy, and what else stands in the way."""

    envelope: RetrainingEnvelope
    found: Evaluation
    bounds: tuple[Requirement, ...]
    obstacle: str

    @property
    def outside(self) -> tuple[Requirement, ...]:
        """The bounds that are not met."""
        return tuple(one for one in self.bounds if one.blocks)

    @property
    def failing(self) -> list[str]:
        """The gates that do not pass, by title."""
        return [one.gate.title for one in self.found.gates if one.blocks]

    @property
    def inside(self) -> bool:
        """Whether it may go live by the envelope."""
        return not self.outside and not self.failing and not self.obstacle


def fit_of(version: ModelVersion, envelope: RetrainingEnvelope, now: datetime) -> Fit:
    """How `version` fits `envelope` at the moment `now`."""
    found = examine(version, envelope.stage, at=now)
    uses = envelope.approvals.count()
    rows = evaluate(parse(envelope.bounds), made_of(version), found.facts, uses=uses, link=page_of(version))
    return Fit(envelope, found, rows, _obstacle(version, envelope, found.rules, now))


def envelope_for(version: ModelVersion, stage: Stage) -> RetrainingEnvelope | None:
    """The envelope in force by which a retrained version could go live, if it is one that was made after the envelope's proposal."""
    if version.retrain_of_id is None:
        return None
    found = in_force().filter(model=version.model_id, stage=stage, proposed_at__lt=version.created_at)
    return found.first()


def in_force() -> QuerySet[RetrainingEnvelope]:
    """The envelopes that are signed and have not ended."""
    return RetrainingEnvelope.objects.filter(state=State.SIGNED).select_related(
        "model__owner", "stage", "base", "proposed_by"
    )


@due
def ends(now: datetime) -> Sequence[Effect]:
    """Envelopes that have run out."""
    over = RetrainingEnvelope.objects.filter(state__in=[State.PROPOSED, State.SIGNED], valid_until__lte=now)
    return [partial(_expire, envelope) for envelope in over]


@due
def uses(now: datetime) -> Sequence[Effect]:
    """The newest version of each model with an envelope, where it was retrained since and nobody asked for its review.

    None while the ledger does not verify: they wait, and are not refused anew at every tick.
    """
    if integrity.found().stops_promotion:
        return []
    found = []
    for envelope in in_force().filter(valid_until__gt=now).annotate(newest=Max("model__versions__number")):
        version = (
            envelope.model.versions.filter(
                number=envelope.newest,
                state=ModelVersion.State.REGISTERED,
                retrain_of__isnull=False,
                job_uuid__isnull=False,
                created_at__gt=envelope.proposed_at,
                reviews=None,
            )
            .select_related("model", "dataset_version__dataset", "recipe")
            .first()
        )
        if version is not None and fit_of(version, envelope, now).inside:
            found.append(partial(_use, envelope, version))
    return found


@governed(Action.ENVELOPE_USE)
def use_envelope(
    envelope: RetrainingEnvelope, version: ModelVersion, now: datetime, *, by: Principal
) -> Approval | None:
    """Approve and promote a retrained version by what was signed in advance; None where it is not inside, or was decided meanwhile."""
    version = locked_version(version)
    permit(by, Permission.PROMOTE_VERSION, version.model)
    integrity.require_sound()
    envelope = _locked(envelope)
    if version.state != ModelVersion.State.REGISTERED or version.reviews.exists():
        return None
    fit = fit_of(version, envelope, now)
    if not fit.inside:
        return None
    round_ = _record_round(fit, version, now, by)
    approval = Approval.objects.create(
        version=version,
        stage=envelope.stage,
        round=round_,
        basis=Approval.Basis.ENVELOPE,
        envelope=envelope,
        approved_at=now,
        valid_until=envelope.valid_until,
        pulls_until=envelope.valid_until + timedelta(days=fit.found.rules.pulls_after_expiry_days),
    )
    move(version, "approve", by=by, decision=envelope)
    version.refresh_from_db(fields=["state"])
    if why := why_unsound(approval, now, released=False):
        raise Conflict(
            f"{version} is inside the bounds, but its approval does not hold: {why}", code="approval-unsound"
        )
    measured = [{"bound": one.key, "measured": one.measured, "required": one.required} for one in fit.bounds]
    promotion = place(approval, fit.found.holder, by=by, cites={"bounds": measured})
    append(
        Action.ENVELOPE_USE,
        by=by,
        obj=envelope.ledger_ref(),
        after={
            "version": version.number,
            "stage": envelope.stage.name,
            "release": promotion.release_digest,
            "signatures": [said.digest for _, said in within.counting(envelope, now)],
        },
    )
    signers = [row.person for row in envelope.signatures.select_related("person")]
    title = f"{version} is live in {envelope.stage.title.lower()}, within the retraining envelope"
    _tell(envelope, [envelope.model.owner, *signers], f"used:{version.pk}", title, envelope.why, link=page_of(version))
    return approval


def _record_round(fit: Fit, version: ModelVersion, now: datetime, by: Principal) -> Round:
    """A case and a round as any other, decided when it was opened: its slots are filled by the signatures under the envelope."""
    envelope, rules = fit.envelope, fit.found.rules
    move(version, "request_review", by=by)
    review = Review.objects.create(
        version=version,
        stage=envelope.stage,
        why=f"Retrained within the envelope that was signed on {envelope.signatures.latest('signed_at').signed_at:%d %B %Y}.",
        requested_by=version.trained_by or version.created_by,
        due_at=now,
        closed_at=now,
    )
    subject = subject_of(version, envelope.stage, rules, fit.found.holder)
    round_ = Round.objects.create(
        review=review,
        number=1,
        state=Round.State.APPROVED,
        subject=subject.text,
        subject_digest=subject.digest,
        compared_with=fit.found.holder,
        opened_by=version.trained_by or version.created_by,
        closed_at=now,
        valid_until=envelope.valid_until,
    )
    round_.policies.set(envelope.policies.all())
    groups = {group.name: group for group in Group.objects.filter(name__in=[slot.group for slot in rules.slots])}
    for order, slot in enumerate(rules.slots):
        Slot.objects.create(
            round=round_,
            key=slot.key,
            title=slot.title,
            group=groups[slot.group],
            people=slot.people,
            facets=list(slot.answers_for),
            order=order,
        )
    _keep_results(round_, fit)
    append(
        Action.REVIEW_REQUEST,
        by=by,
        obj=review.ledger_ref(),
        after={"stage": envelope.stage.name, "envelope": envelope.digest},
    )
    append(
        Action.ROUND_CLOSE,
        by=by,
        obj=round_.ledger_ref(),
        after={"state": str(round_.state), "subject": subject.digest, "envelope": envelope.digest},
    )
    announcements.closed(round_)
    return round_


def _keep_results(round_: Round, fit: Fit) -> None:
    """Every gate and every bound as it stood when the envelope was used."""
    rows = [
        *((one.gate.key, one.requirement(), one.gate.section) for one in fit.found.gates),
        *((one.key, one, "gates") for one in fit.bounds),
    ]
    GateResult.objects.bulk_create(
        GateResult(
            round=round_,
            key=key[:63],
            title=row.title[:160],
            status=row.status,
            measured=row.measured[:200],
            required=row.required[:200],
            explanation=row.explanation,
            section=section,
            order=order,
        )
        for order, (key, row, section) in enumerate(rows)
    )


def _obstacle(version: ModelVersion, envelope: RetrainingEnvelope, rules: Rules, now: datetime) -> str:
    if envelope.state != State.SIGNED or envelope.valid_until <= now:
        return "The envelope is not in force."
    if not rules.envelopes:
        return "The policy does not allow retraining envelopes."
    if envelope.base.state == ModelVersion.State.REVOKED:
        return f"{envelope.base}, which it starts from, was revoked."
    if digest_of(within.document(envelope, [ref.as_dict() for ref in rules.refs])) != envelope.digest:
        return "A policy was published since the envelope was signed, so that it does not count any more."
    if not within.is_complete(envelope, rules, now, without=within.hands_in(version, envelope, now)):
        return "Somebody who signed the envelope had a hand in this version, so that too few signatures are left."
    return ""


def _check_proposal(
    model: RegisteredModel, stage: Stage, base: ModelVersion, rules: Rules, why: str, valid_until: datetime
) -> None:
    now = timezone.now()
    latest = now + rules.valid_for
    errors = {}
    if not why.strip() or len(why) > MAX_REASON:
        errors["why"] = "Say why: whoever signs reads it first."
    if not now < valid_until <= latest:
        errors["valid_until"] = (
            f"The end lies between today and {latest:%d %B %Y}, as long as the policy lets an approval last."
        )
    if errors:
        raise Invalid(" ".join(errors.values()), errors=errors)
    if base.model_id != model.pk:
        raise Invalid(f"{base} is a version of another model.", errors={"base": "Choose a version of this model."})
    if not rules.slots or not rules.envelopes:
        raise Conflict(f"The policy for {stage} does not allow retraining envelopes.", code="no-envelopes")
    approval = approval_in_force(base, stage, now)
    if approval is None or approval.basis != Approval.Basis.REVIEW:
        raise Conflict(
            f"{base} is not live by a signed review in {stage}; an envelope starts from such a version.", code="no-base"
        )
    if RetrainingEnvelope.objects.filter(model=model, stage=stage, state__in=[State.PROPOSED, State.SIGNED]).exists():
        raise Conflict(f"There is an envelope of {model} for {stage} already; withdraw it first.", code="envelope-open")


def _check_signable(envelope: RetrainingEnvelope, rules: Rules) -> None:
    if envelope.state != State.PROPOSED or envelope.valid_until <= timezone.now():
        raise Conflict(
            f"This envelope is not open for signatures: {envelope.get_state_display().lower()}.", code="envelope-closed"
        )
    if digest_of(within.document(envelope, [ref.as_dict() for ref in rules.refs])) != envelope.digest:
        raise Conflict(
            "A policy was published since these bounds were proposed. Withdraw them, and propose them anew under it.",
            code="policy-changed",
        )


def _locked(envelope: RetrainingEnvelope) -> RetrainingEnvelope:
    """The envelope, read anew, with its model and base version locked, as all decisions about a model are."""
    base = locked_version(ModelVersion.objects.get(pk=envelope.base_id))
    rows = RetrainingEnvelope.objects.select_for_update(of=("self",)).select_related("stage", "proposed_by")
    fresh = rows.get(pk=envelope.pk)
    fresh.base, fresh.model = base, base.model
    return fresh


def _end(envelope: RetrainingEnvelope, state: str, why: str, now: datetime, by: Principal) -> None:
    before = envelope.state
    envelope.state, envelope.ended_at, envelope.ended_why = state, now, why
    envelope.save(update_fields=["state", "ended_at", "ended_why"])
    append(
        Action.ENVELOPE_WITHDRAW,
        by=by,
        obj=envelope.ledger_ref(),
        why=why,
        before={"state": before},
        after={"state": str(state)},
    )
    title = f"The retraining envelope of {envelope.model.name} has ended"
    _tell(envelope, [envelope.model.owner, envelope.proposed_by], "ended", title, why)


@governed(Action.ENVELOPE_WITHDRAW)
def expire_envelope(envelope: RetrainingEnvelope, now: datetime, *, by: Principal) -> RetrainingEnvelope:
    """End an envelope whose time is over."""
    envelope = _locked(envelope)
    permit(by, Permission.PROMOTE_VERSION, envelope.model)
    if envelope.ended_at is None and envelope.valid_until <= now:
        _end(envelope, State.EXPIRED, f"It ran out on {envelope.valid_until:%d %B %Y}.", now, by)
    return envelope


def _expire(envelope: RetrainingEnvelope, now: datetime) -> None:
    expire_envelope(envelope, now, by=CLOCK)


def _use(envelope: RetrainingEnvelope, version: ModelVersion, now: datetime) -> None:
    use_envelope(envelope, version, now, by=CLOCK)


def _tell(
    envelope: RetrainingEnvelope, people: Sequence[User], what: str, title: str, body: str, *, link: str = ""
) -> None:
    tell(
        people,
        event=f"envelope:{envelope.uuid}:{what}",
        kind=Notification.Kind.TURN if what == "proposed" else Notification.Kind.POLICY,
        title=title,
        body=body,
        link=link or reverse("reviews:envelope", args=[envelope.model.name]) + f"?stage={envelope.stage.name}",
        about=envelope.model,
    )
