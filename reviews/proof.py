"""Decides whether an approval really holds, from signatures alone: rows that somebody wrote past the product do not pass.

An approval holds when the registry-signed statements that it rests on bear it out for exactly these bytes (those of its round fill every
slot of the policy that they cite, each by another person; see `emergencies` and `within` for what else it can rest on); when the
release that moved the alias is signed and lists them; and while nothing revoked it and it has neither lapsed nor run out.

Of gates no signature speaks: that each passed, or was excepted, when the alias moved is what the registry's release stands for. The
exceptions that it lists are verified from their envelopes, and the approval ends with the first of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from countersign.proof.dsse import envelope_digest
from countersign.proof.manifest import manifest_digest
from countersign.proof.webauthn import method_of
from foundation.refusals import Refusal
from registry.models import ModelVersion
from registry.releases import Release, read_release
from reviews import emergencies, within
from reviews.conditions import owed
from reviews.exceptions import exceptions_of
from reviews.grounds import Ground, about, round_name
from reviews.models import Approval, Lapse
from reviews.people import deeds_of
from reviews.policies import Rules
from reviews.quorum import Vote, enough
from reviews.rulebook import rules_of
from reviews.standing import RoundStanding, standing_of
from reviews.subjects import Subject, frozen

_CITED: Final = {
    "basis": "another basis",
    "round": "another round",
    "subject_digest": "another subject",
    "policies": "another policy",
    "sign_offs": "other signatures",
    "exceptions": "other exceptions",
    "break_glass": "another break-glass",
    "envelope": "another envelope",
}
SERVABLE: Final = frozenset({ModelVersion.State.APPROVED, ModelVersion.State.LIVE})
_BEFORE: Final = timedelta(microseconds=1)


def why_unsound(approval: Approval, at: datetime, *, released: bool) -> str:
    """Why the approval does not hold at the moment `at`, or nothing.

    `released`: for pulls and serving, which go on until `pulls_until`; a promotion's signed release must stand behind it. Else for a
    promotion, which ends at `valid_until`.
    """
    if ended := _why_ended(approval, approval.pulls_until if released else approval.valid_until, at):
        return ended
    if manifest_digest(approval.version.files) != approval.version.digest:
        return "The version's files are not those of its digest."
    try:
        ground = ground_of(approval, min(at, approval.valid_until - _BEFORE))
    except Refusal as refusal:
        return refusal.detail
    if ground.problem or not released:
        return ground.problem
    if ground.pulls_until <= at:
        return "The approval has run out."
    return _why_not_released(approval, ground, at)


def ground_of(approval: Approval, at: datetime) -> Ground:
    """What the approval rests on as it stood at the moment `at`; raises `Refusal` where what is stored is not readable."""
    if approval.basis == Approval.Basis.BREAK_GLASS:
        return emergencies.ground(approval)
    if approval.basis == Approval.Basis.ENVELOPE:
        return within.ground(approval, at)
    return _signed_review(approval, at)


def _why_ended(approval: Approval, end: datetime, at: datetime) -> str:
    if approval.revocation_id is not None or approval.version.revocations.exists():
        return "The approval was revoked."
    if Lapse.objects.filter(approval=approval).exists():
        return "The approval has lapsed."
    if approval.version.state not in SERVABLE:
        return f"The version is {approval.version.get_state_display().lower()}."
    if end <= at:
        return "The approval has run out."
    if approval.basis == Approval.Basis.REVIEW and not approval.round.is_approved:
        return "The round was not approved."
    return ""


def _signed_review(approval: Approval, at: datetime) -> Ground:
    round_ = approval.round
    rules = rules_of(round_)
    subject = frozen(round_)
    # Who takes part afterwards ends no approval: what was done by then is what a promotion was refused or allowed by.
    deeds = deeds_of(approval.version, round_.review, until=approval.approved_at)
    standing = standing_of(round_, subject.facets, at, deeds=deeds)
    said = [signature.said for signature in standing.counting if signature.said]
    excepted = [one.said for one in exceptions_of(round_, rules, at, deeds) if one.said and one.holds]
    grace = timedelta(days=rules.pulls_after_expiry_days)
    return Ground(
        _why_mismatched(approval, subject, rules) or _why_too_few(standing, rules) or _why_overdue(standing, at),
        min([approval.valid_until, *(one.expires for one in said), *(one.ends_at for one in excepted)]),
        min([approval.pulls_until, *(one.pulls_until for one in said), *(one.ends_at + grace for one in excepted)]),
        {
            "basis": str(approval.basis),
            "round": round_name(round_),
            "subject_digest": subject.digest,
            "policies": [ref.as_dict() for ref in rules.refs],
            "sign_offs": sorted(one.digest for one in said),
            "exceptions": sorted(one.digest for one in excepted),
        },
    )


def _why_mismatched(approval: Approval, subject: Subject, rules: Rules) -> str:
    version, review = approval.version, approval.round.review
    if (review.version_id, review.stage_id) != (version.pk, approval.stage_id):
        return "The round is about another version or stage."
    if subject.digest != approval.round.subject_digest:
        return "The frozen subject does not match its digest."
    if subject.facets["artifact"] != version.digest:
        return "The signed bytes are not the version's bytes."
    if subject.facets["policy"] != rules.digest:
        return "The policy of the round is not the one that was signed."
    return ""


def _why_too_few(standing: RoundStanding, rules: Rules) -> str:
    """The needs come from the policy that was signed, not from the rows of the round's slots."""
    needs = {slot.key: slot.people for slot in rules.slots}
    answers = {slot.key: set(slot.answers_for) for slot in rules.slots}
    delegable = {slot.key for slot in rules.slots if slot.delegable}
    votes = [
        Vote(signature.said.slot, signature.said.reviewer, signature.said.on_behalf_of)
        for signature in standing.counting
        if signature.said
        and signature.said.policy_digest == rules.digest
        and answers.get(signature.said.slot, {"*"}) <= set(signature.sign_off.slot.facets)
        and (not signature.said.on_behalf_of or signature.said.slot in delegable)
        and method_of(signature.said.predicate) in rules.reauthentication
    ]
    if not enough(needs, votes):
        return "Valid signatures do not fill every slot of the policy."
    return "Changes were requested." if standing.changes_requests else ""


def _why_overdue(standing: RoundStanding, at: datetime) -> str:
    """From the signed dates: a condition ends the approval at its date, whether or not the clock has been there."""
    late = next((one for one in owed(standing.signatures, at) if one.overdue), None)
    return f"A condition was not verified by its date: {late.title}." if late else ""


def _why_not_released(approval: Approval, ground: Ground, at: datetime) -> str:
    promotion = approval.promotion
    if promotion is None:
        return "It was never promoted."
    if promotion.release_digest != envelope_digest(promotion.release):
        return "The release does not match its digest."
    try:
        release = read_release(promotion.release)
    except Refusal as refusal:
        return refusal.detail
    return _why_release_differs(release, approval, ground, at)


def _why_release_differs(release: Release, approval: Approval, ground: Ground, at: datetime) -> str:
    named = about(approval.version, approval.stage)
    said = release.predicate
    if any(said.get(name) != value for name, value in named.items()):
        return "The release names another version or stage."
    for name, what in _CITED.items():
        if said.get(name) != ground.cites.get(name):
            return f"The release cites {what}."
    return "The release has run out." if release.pulls_until <= at else ""
