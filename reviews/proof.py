"""Decides whether an approval really holds, from signatures alone: rows that somebody wrote past the product do not pass.

An approval holds when the registry-signed statements of its round fill every slot of the policy that they cite, each by another
person, for exactly these bytes; when the release that moved the alias is signed and lists them; and while nothing revoked it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from foundation.dsse import envelope_digest
from foundation.refusals import Refusal
from registry.manifest import manifest_digest
from registry.models import ModelVersion
from registry.releases import Release, read_release
from reviews.models import Approval, Lapse, Round
from reviews.policies import Rules
from reviews.quorum import Vote, enough
from reviews.rulebook import rules_of
from reviews.standing import RoundStanding, standing_of
from reviews.subjects import Subject, frozen

SERVABLE: Final = frozenset({ModelVersion.State.APPROVED, ModelVersion.State.LIVE})


def why_unsound(approval: Approval, at: datetime, *, released: bool) -> str:
    """Why the approval does not hold at the moment `at`, or nothing. `released`: a promotion's signed release must stand behind it."""
    if ended := _why_ended(approval, at):
        return ended
    round_ = approval.round
    rules = rules_of(round_)
    try:
        subject = frozen(round_)
    except Refusal as refusal:
        return refusal.detail
    standing = standing_of(round_, subject.facets, at)
    problem = _why_mismatched(approval, subject, rules) or _why_too_few(standing, rules)
    if problem or not released:
        return problem
    return _why_not_released(approval, standing, subject, rules, at)


def _why_ended(approval: Approval, at: datetime) -> str:
    if approval.revocation_id is not None or approval.version.revocations.exists():
        return "The approval was revoked."
    if Lapse.objects.filter(approval=approval).exists():
        return "The approval has lapsed."
    if approval.version.state not in SERVABLE:
        return f"The version is {approval.version.get_state_display().lower()}."
    if approval.valid_until <= at:
        return "The approval has run out."
    if not approval.round.is_approved:
        return "The round was not approved."
    return ""


def _why_mismatched(approval: Approval, subject: Subject, rules: Rules) -> str:
    version, review = approval.version, approval.round.review
    if (review.version_id, review.stage_id) != (version.pk, approval.stage_id):
        return "The round is about another version or stage."
    if subject.digest != approval.round.subject_digest:
        return "The frozen subject does not match its digest."
    if manifest_digest(version.files) != version.digest or subject.facets["artifact"] != version.digest:
        return "The signed bytes are not the version's bytes."
    if subject.facets["policy"] != rules.digest:
        return "The policy of the round is not the one that was signed."
    return ""


def _why_too_few(standing: RoundStanding, rules: Rules) -> str:
    """The needs come from the policy that was signed, not from the rows of the round's slots."""
    needs = {slot.key: slot.people for slot in rules.slots}
    answers = {slot.key: set(slot.answers_for) for slot in rules.slots}
    votes = [
        Vote(signature.said.slot, signature.said.reviewer)
        for signature in standing.counting
        if signature.said
        and signature.said.policy_digest == rules.digest
        and answers.get(signature.said.slot, {"*"}) <= set(signature.sign_off.slot.facets)
    ]
    if not enough(needs, votes):
        return "Valid signatures do not fill every slot of the policy."
    return "Changes were requested." if standing.changes_requests else ""


def _why_not_released(approval: Approval, standing: RoundStanding, subject: Subject, rules: Rules, at: datetime) -> str:
    promotion = approval.promotion
    if promotion is None:
        return "It was never promoted."
    if promotion.release_digest != envelope_digest(promotion.release):
        return "The release does not match its digest."
    try:
        release = read_release(promotion.release)
    except Refusal as refusal:
        return refusal.detail
    return _why_release_differs(release, approval, standing, subject, rules, at)


def _why_release_differs(
    release: Release, approval: Approval, standing: RoundStanding, subject: Subject, rules: Rules, at: datetime
) -> str:
    version = approval.version
    said = release.predicate
    if (release.model, release.version, release.stage, release.digest) != (
        version.model.name,
        version.number,
        approval.stage.name,
        version.digest,
    ):
        return "The release names another version or stage."
    if said.get("round") != round_name(approval.round) or said.get("subject_digest") != subject.digest:
        return "The release cites another round."
    if said.get("policies") != [ref.as_dict() for ref in rules.refs]:
        return "The release cites another policy."
    if set(said.get("sign_offs", ())) != {signature.sign_off.statement_digest for signature in standing.counting}:
        return "The release cites other signatures."
    return "The release has run out." if release.valid_until <= at else ""


def round_name(round_: Round) -> str:
    """How releases cite a round."""
    return f"{round_.review.uuid}/{round_.number}"
