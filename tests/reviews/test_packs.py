"""The packs that ship: every text is sound, every clause says where it is from, and every gate tells a good version from a bad one."""

from __future__ import annotations

from typing import Any

import pytest

from access.models import User
from foundation.refusals import NotFound, RequirementStatus
from registry import cards
from reviews.actions.drafts import strangers_in
from reviews.facts import Facts, VersionFacts, facts_for
from reviews.gates import GateOutcome, evaluate
from reviews.packs import Pack, adopt, find_pack, packs
from reviews.policies import Gate, PolicyDocument, examine
from reviews.shipped import shipped_policies
from tests.conftest import as_
from tests.reviews.evidence import CARD, estimate, evidence
from tests.reviews.publishing import make_author

TEXTS = [(pack, name) for pack in packs() for name in pack.contents]
GATES = [(name, gate) for pack, name in TEXTS for gate in pack.documents[name].gates]
COMPARISON = {
    "against": 1,
    "auc_difference": estimate(0.01, 0.005),
    "decision_flips": {"rows": 5_000, "changed": 100},
}


def ids(value: object) -> str:
    return value.key if isinstance(value, Pack | Gate) else str(value)


def good() -> Facts:
    """A version of which there is nothing to complain, beside one that is live."""
    measured: dict[str, Any] = {**evidence(age=0.1), "scan": {"verdict": "admitted"}, "comparison": COMPARISON}
    candidate = VersionFacts(2, 1, measured, CARD, measured_after_policy=True)
    facts = facts_for(
        candidate, VersionFacts(1, 1, {**evidence(auc=0.84, age=0.1), "scan": {"verdict": "admitted"}}, CARD)
    )
    return (
        facts
        | {"fairness.insufficient_groups": 0, "fairness.gaps": {"sex": 0.02, "race": 0.03, "age": 0.1}}
        | RACE
        | PAIRS
    )


RACE: Facts = {
    "fairness.attributes": ["age", "race", "sex"],
    "fairness.judged_share": {"age": 0.99, "race": 0.97, "sex": 1.0},
}
PAIRS: Facts = {"slices.intersections": 3, "slices.worst_intersection_auc": 0.7}
BAD: dict[str, Facts] = {
    "files that were not admitted": {"scan.admitted": False},
    "evidence that is missing": {"evidence.missing": ["calibration"]},
    "nothing measured at all": {"evidence.kinds": []},
    "evidence that the author attached": {"evidence.discounted": ["metrics"]},
    "limits that came after the test": {"evidence.measured_after_policy": False},
    "data without a name": {"data.fingerprinted": False},
    "a test on seen rows": {"data.held_out": False, "data.shared_years": ["2015"]},
    "few rows": {"metrics.holdout_rows": 200},
    "chance": {"metrics.auc": 0.5, "metrics.auc_low": 0.48},
    "worse than what is live": {"comparison.auc_difference_low": -0.1, "metrics.auc": 0.7},
    "overconfidence": {"metrics.ece": 0.3},
    "an attribute nobody measured": {"fairness.unmeasured": ["age"]},
    "unequal opportunity": {
        "fairness.gaps": {"sex": 0.4, "race": 0.4, "age": 0.4},
        "fairness.worst_gap": 0.4,
        "fairness.worst_gap_high": 0.45,
    },
    "a group it fails": {"slices.worst_auc": 0.5},
    "a group by two attributes it fails": {"slices.worst_intersection_auc": 0.5},
    "groups too small": {
        "fairness.insufficient_groups": 3,
        "fairness.judged_share": {"age": 0.4, "race": 0.4, "sex": 0.4},
    },
    "many changed decisions": {"comparison.flip_share": 0.4},
    "an environment without versions": {"environment.locked": False},
    "inputs that nobody declared": {"signature.inputs": 0},
    "an empty card": {"card.missing": [section.title for section in cards.SECTIONS], "card.completeness": 0.0},
}


def outcome(gate: Gate, facts: Facts) -> GateOutcome:
    return evaluate((gate,), facts)[0]


def test_there_are_the_packs_that_we_promise() -> None:
    assert [pack.key for pack in packs()] == ["default-by-tier", "sr-26-2", "eu-ai-act", "21-cfr-part-11"]


def test_names_are_of_one_policy_each() -> None:
    names = [name for _, name in TEXTS]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(("pack", "name"), TEXTS, ids=ids)
def test_text_is_sound(pack: Pack, name: str) -> None:
    document, flaws = examine(pack.contents[name])

    assert document is not None
    assert flaws == []


@pytest.mark.django_db
@pytest.mark.parametrize(("pack", "name"), TEXTS, ids=ids)
def test_text_names_groups_and_stages_that_every_installation_has(pack: Pack, name: str) -> None:
    assert strangers_in(pack.documents[name]) == []


@pytest.mark.parametrize(("pack", "name"), [row for row in TEXTS if not row[0].in_force_from_the_start], ids=ids)
def test_every_clause_cites_its_source(pack: Pack, name: str) -> None:
    document: PolicyDocument = pack.documents[name]

    assert [gate.key for gate in document.gates if not gate.source] == []
    assert [slot.key for slot in document.slots if not slot.source] == []
    assert pack.manifest.sources


@pytest.mark.parametrize("pack", packs(), ids=ids)
def test_pack_says_how_far_its_citations_were_checked(pack: Pack) -> None:
    assert pack.manifest.about
    assert pack.manifest.verified


@pytest.mark.parametrize(("name", "gate"), GATES, ids=ids)
def test_gate_explains_itself(name: str, gate: Gate) -> None:
    assert gate.explanation.endswith(".")
    assert gate.cleared_by


@pytest.mark.parametrize(("name", "gate"), GATES, ids=ids)
def test_good_version_passes(name: str, gate: Gate) -> None:
    assert outcome(gate, good()).status is RequirementStatus.SATISFIED


@pytest.mark.parametrize(("name", "gate"), GATES, ids=ids)
def test_bad_version_fails(name: str, gate: Gate) -> None:
    failing = [
        why for why, changes in BAD.items() if outcome(gate, good() | changes).status is not RequirementStatus.SATISFIED
    ]

    assert failing
    assert len(failing) <= 3, "a gate is about one thing"


@pytest.mark.parametrize(("name", "gate"), GATES, ids=ids)
def test_version_without_evidence_passes_nothing_that_is_measured(name: str, gate: Gate) -> None:
    nothing = facts_for(VersionFacts(1, 1), None)

    assert outcome(gate, nothing).status is not RequirementStatus.SATISFIED


@pytest.mark.django_db
def test_adopting_is_drafting(erin: User) -> None:
    draft = adopt(find_pack("eu-ai-act"), "ai-act-high-risk", by=as_(make_author(erin)))

    assert (draft.status, draft.number) == ("draft", 1)
    assert draft.note == "From the pack EU AI Act, high-risk systems"


@pytest.mark.django_db
def test_what_is_in_no_pack_is_not_found(erin: User) -> None:
    with pytest.raises(NotFound, match="There is no pack nothing"):
        find_pack("nothing")
    with pytest.raises(NotFound, match="has no policy nothing"):
        adopt(packs()[0], "nothing", by=as_(make_author(erin)))


def test_default_pack_is_what_setup_puts_in_force() -> None:
    assert packs()[0].contents == shipped_policies()
