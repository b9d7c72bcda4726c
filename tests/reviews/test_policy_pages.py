"""The pages of policies, as people and scripts use them: without JavaScript, everything by plain POST."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from access.models import User
from reviews.actions import draft_policy
from reviews.models import PolicyRehearsal, PolicyVersion, Review
from reviews.packs import packs
from reviews.policy_forms import HEADER_GROUPS, PARTS
from reviews.shipped import shipped_policies
from tests.conftest import PASSWORD, as_
from tests.reviews.publishing import make_author, make_signer, propose, publish

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]


def words(response: object) -> str:
    return unescape(response.content.decode())  # type: ignore[attr-defined]  # a response


def text(name: str = "staging", **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(shipped_policies()[name]), **changes}


@pytest.fixture
def author(erin: User, client_for: Browser) -> Client:
    return client_for(make_author(erin))


@pytest.fixture
def proposed(erin: User, carol: User) -> PolicyVersion:
    return propose("staging", text(valid_months=3), author=make_author(erin))


def as_typed(content: Mapping[str, Any], **more: str) -> dict[str, Any]:
    """The form filled in with `content`, as a browser posts it."""
    sent: dict[str, Any] = {"view": "form", "name": "extra", "note": ""}
    for _, specs in HEADER_GROUPS:
        for spec in specs:
            outer, _, inner = spec.name.partition(".")
            value = (content.get(outer) or {}).get(inner) if inner else content.get(outer)
            _fill(sent, spec.name, spec.kind, value)
    for part, specs in PARTS.items():
        rows = content.get(part, [])
        sent[f"{part}.count"] = str(len(rows))
        for number, row in enumerate(rows):
            for spec in specs:
                _fill(sent, f"{part}[{number}].{spec.name}", spec.kind, row.get(spec.name))
    return sent | more


def _fill(sent: dict[str, Any], name: str, kind: str, value: Any) -> None:
    if kind == "flag":
        if value:
            sent[name] = "on"
    elif kind == "many":
        sent[name] = [str(one) for one in value or []]
    elif kind == "numbers":
        sent[name] = ", ".join(map(str, value or [60, 30, 7]))
    elif kind == "lines":
        sent[name] = "\r\n".join(value or [])
    else:
        sent[name] = "" if value is None else str(value)


def whole(name: str = "staging") -> dict[str, Any]:
    """A text with every default written out."""
    content: dict[str, Any] = PolicyVersion.objects.get(policy__name=name, number=1).content
    return content


class TestReading:
    """The list, one version, differences, the file."""

    def test_list_says_what_is_in_force_and_who_signs_the_next(self, bob: User, client_for: Browser) -> None:
        page = words(client_for(bob).get(reverse("reviews:policies")))

        assert "Production, tier 1 (high risk)" in page
        assert "Model validator, Risk officer" in page
        assert "1 of Risk officers" in page
        assert "New policy" not in page

    def test_list_is_filtered(self, bob: User, client_for: Browser) -> None:
        browser = client_for(bob)

        tier = words(browser.get(reverse("reviews:policies"), {"tier": "1", "stage": "production"}))
        none = words(browser.get(reverse("reviews:policies"), {"state": "draft"}))

        assert "production-tier-1" in tier
        assert "production-tier-2" not in tier
        assert "No policy like that" in none

    def test_version_shows_its_rules_sources_and_history(self, bob: User, review: Review, client_for: Browser) -> None:
        page = words(client_for(bob).get(reverse("reviews:policy", args=["production-tier-1", 1])))

        assert "metrics.auc_low >= 0.75" in page
        assert "EU AI Act" in page
        assert "Ships with the product" in page
        assert "credit v1" in page

    def test_unknown_version_is_not_found(self, bob: User, client_for: Browser) -> None:
        assert client_for(bob).get(reverse("reviews:policy", args=["staging", 9])).status_code == 404

    def test_difference_is_by_gate_with_its_direction(
        self, proposed: PolicyVersion, bob: User, client_for: Browser
    ) -> None:
        page = words(client_for(bob).get(reverse("reviews:policy-diff", args=["staging"]), {"from": 1, "to": 2}))

        assert "Months that an approval lasts" in page
        assert "valid_months" not in page
        assert "1 tighter, 0 looser" in page

    def test_old_links_to_a_difference_lead_on(self, proposed: PolicyVersion, bob: User, client_for: Browser) -> None:
        answer = client_for(bob).get(reverse("reviews:policy", args=["staging", 2]), {"against": "1"})

        assert answer["Location"] == reverse("reviews:policy-diff", args=["staging"]) + "?from=1&to=2"

    def test_text_is_a_file(self, bob: User, client_for: Browser) -> None:
        answer = client_for(bob).get(reverse("reviews:policy-export", args=["staging", 1]))

        assert json.loads(answer.content) == whole()
        assert 'filename="staging-1.json"' in answer["Content-Disposition"]

    def test_facts_are_searched(self, bob: User, client_for: Browser) -> None:
        page = words(client_for(bob).get(reverse("reviews:policy-fields"), {"q": "worst gap interval"}))

        assert "fairness.worst_gap_low" in page
        assert "card.completeness" not in page


class TestEditor:
    """One draft as form and as text."""

    def test_reader_does_not_write(self, bob: User, client_for: Browser) -> None:
        browser = client_for(bob)

        assert browser.get(reverse("reviews:policy-new")).status_code == 403
        assert browser.get(reverse("reviews:policy-edit", args=["staging"])).status_code == 403
        assert browser.post(reverse("reviews:policy-check"), {"check": "x", "x": "true"}).status_code == 403

    @pytest.mark.parametrize("name", sorted(shipped_policies()))
    def test_form_and_text_are_the_same_policy(self, name: str, author: Client) -> None:
        """Shown as a form and posted back unchanged, then as text: what is saved says the same."""
        sent = as_typed(whole(name), name="copied", op="save")

        assert author.post(reverse("reviews:policy-new"), sent).status_code == 302
        assert PolicyVersion.objects.get(policy__name="copied").content == whole(name)

    def test_switching_keeps_what_was_typed(self, author: Client) -> None:
        sent = as_typed(whole(), op="text", valid_months="a year", note="Half done")
        sent["gates[0].passes"] = "scan.admitted &&"

        page = words(author.post(reverse("reviews:policy-new"), sent))

        assert '"valid_months": "a year"' in page
        assert '"passes": "scan.admitted &&"' in page
        assert "Half done" in page

    def test_text_that_the_form_cannot_show_stays_a_text(self, author: Client) -> None:
        for broken, sentence in (("{", "line 1, column 2"), (json.dumps(text(weakens=True)), "unknown field")):
            answer = author.post(reverse("reviews:policy-new"), {"view": "text", "op": "form", "text": broken})

            assert sentence in words(answer)
            assert 'name="text"' in words(answer)

    def test_text_with_a_wrong_rule_is_shown_as_a_form(self, author: Client) -> None:
        content = text()
        content["gates"][0]["passes"] = "scan.admited"

        page = words(
            author.post(reverse("reviews:policy-new"), {"view": "text", "op": "form", "text": json.dumps(content)})
        )

        assert 'name="gates[0].passes"' in page
        assert "Did you mean scan.admitted" in page

    @pytest.mark.parametrize(
        ("op", "titles"),
        [
            ("add:slots", ["Reviewer", ""]),
            ("remove:slots:0", []),
        ],
    )
    def test_cards_come_and_go(self, op: str, titles: list[str], author: Client) -> None:
        page = words(author.post(reverse("reviews:policy-new"), as_typed(whole(), op=op)))

        assert f'name="slots.count" value="{len(titles)}"' in page
        for number, title in enumerate(titles):
            assert f'name="slots[{number}].title" value="{title}"' in page

    def test_cards_move(self, author: Client) -> None:
        page = words(author.post(reverse("reviews:policy-new"), as_typed(whole(), op="down:gates:0")))

        assert 'name="gates[1].key" value="scan"' in page
        assert 'name="gates[0].key" value="data-fingerprint"' in page

    def test_errors_stand_beside_their_fields_and_nothing_is_saved(self, author: Client) -> None:
        sent = as_typed(whole(), op="save", valid_months="0")
        sent["gates[3].passes"] = "metrics.auc >= 'high'"
        sent["slots[0].group"] = "The moon"

        answer = author.post(reverse("reviews:policy-new"), sent)

        page = words(answer)
        assert answer.status_code == 400
        assert 'id="valid_months-err"' in page
        assert "found no matching overload" in page
        assert 'value="0"' in page
        assert not PolicyVersion.objects.filter(policy__name="extra").exists()

    def test_check_says_that_it_type_checks_and_saves_nothing(self, author: Client) -> None:
        page = words(author.post(reverse("reviews:policy-new"), as_typed(whole(), op="check")))

        assert "It type-checks: 5 gates, 1 sign-offs" in page
        assert "Gives true or false." in page
        assert not PolicyVersion.objects.filter(policy__name="extra").exists()

    def test_expression_is_checked_with_the_place_marked(self, author: Client) -> None:
        sent = {"check": "gates[0].passes", "gates[0].passes": "metrics.auk > 0.5", "boolean": "1"}

        page = words(author.post(reverse("reviews:policy-check"), sent))

        assert "Line 1, column 8" in page
        assert "metrics.auk > 0.5\n       ^" in page

    def test_rule_must_give_true_or_false_and_a_shown_value_need_not(self, author: Client) -> None:
        sent = {"check": "x", "x": "metrics.auc"}

        assert "must give true or false" in words(author.post(reverse("reviews:policy-check"), sent | {"boolean": "1"}))
        assert "Gives a number." in words(author.post(reverse("reviews:policy-check"), sent | {"boolean": "0"}))

    def test_editing_starts_from_the_draft_that_there_is(self, author: Client, erin: User) -> None:
        draft_policy("staging", text(valid_months=7), note="Seven", by=as_(erin))

        page = words(author.get(reverse("reviews:policy-edit", args=["staging"])))

        assert 'name="valid_months" value="7"' in page
        assert 'value="Seven"' in page

    def test_proposed_text_is_not_opened_for_writing(self, author: Client, proposed: PolicyVersion) -> None:
        answer = author.get(reverse("reviews:policy-edit", args=["staging"]), follow=True)

        assert "waits for its signatures" in words(answer)

    def test_unknown_policy_is_not_found(self, author: Client) -> None:
        assert author.get(reverse("reviews:policy-edit", args=["nothing"])).status_code == 404


class TestPublication:
    """From draft to force, page by page."""

    def test_written_proposed_rehearsed_signed(
        self, author: Client, carol: User, client_for: Browser, review: Review
    ) -> None:
        here = [
            reverse(f"reviews:policy{step}", args=["staging", 2]) for step in ("", "-propose", "-rehearsal", "-sign")
        ]
        author.post(
            reverse("reviews:policy-edit", args=["staging"]),
            {"view": "text", "op": "save", "text": json.dumps(text(valid_months=3)), "note": "Shorter"},
        )

        assert "Propose for signature" in words(author.get(here[0]))
        author.post(here[1])
        assert "Waits for its signatures" in words(author.get(here[0]))
        signer = client_for(carol)
        assert "What it would change" in words(signer.get(here[2]))
        page = words(signer.get(here[3]))
        assert "Months that an approval lasts" in page
        assert PolicyRehearsal.objects.get().digest in page
        signer.post(here[3], signature())

        assert PolicyVersion.objects.get(policy__name="staging", number=2).status == "published"
        shown = words(signer.get(here[0]))
        assert "Read it all." in shown
        assert "last signed by Carol Adeyemi" in shown

    def test_wrong_password_signs_nothing(self, proposed: PolicyVersion, carol: User, client_for: Browser) -> None:
        answer = client_for(carol).post(
            reverse("reviews:policy-sign", args=["staging", 2]),
            signature(secret="wrong"),
        )

        assert answer.status_code == 400
        assert "The password is not right." in words(answer)
        assert PolicyVersion.objects.get(pk=proposed.pk).status == "proposed"

    def test_sent_back_says_so(self, proposed: PolicyVersion, carol: User, client_for: Browser) -> None:
        answer = client_for(carol).post(
            reverse("reviews:policy-sign", args=["staging", 2]), signature(decision="return"), follow=True
        )

        assert "is a draft again, and its authors were told" in words(answer)

    def test_another_rehearsal_meanwhile_is_said(
        self, proposed: PolicyVersion, carol: User, client_for: Browser
    ) -> None:
        answer = client_for(carol).post(
            reverse("reviews:policy-sign", args=["staging", 2]), signature(expected_rehearsal="0" * 64)
        )

        assert answer.status_code == 409
        assert "It was rehearsed anew" in words(answer)
        assert PolicyRehearsal.objects.get().digest in words(answer)

    def test_who_may_not_sign_sees_no_form(self, proposed: PolicyVersion, bob: User, client_for: Browser) -> None:
        assert client_for(bob).get(reverse("reviews:policy-sign", args=["staging", 2])).status_code == 403

    def test_what_is_in_force_is_not_signed_again(self, carol: User, client_for: Browser) -> None:
        answer = client_for(carol).get(reverse("reviews:policy-sign", args=["staging", 1]))

        assert answer.status_code == 409
        assert "only a proposed text is signed" in words(answer)

    def test_author_takes_it_back(self, proposed: PolicyVersion, author: Client) -> None:
        author.post(reverse("reviews:policy-take-back", args=["staging", 2]))

        assert PolicyVersion.objects.get(pk=proposed.pk).status == "draft"

    def test_rehearsal_is_filtered_and_a_table(
        self, erin: User, carol: User, review: Review, client_for: Browser
    ) -> None:
        content = text("production-tier-1")
        content["gates"][5]["passes"] = "metrics.auc_low >= 0.99"
        propose("production-tier-1", content, author=make_author(erin))
        browser = client_for(carol)
        here = reverse("reviews:policy-rehearsal", args=["production-tier-1", 2])

        page = words(browser.get(here))
        nobody = words(browser.get(here, {"model": "other"}))
        table = words(browser.get(reverse("reviews:policy-rehearsal-csv", args=["production-tier-1", 2])))

        assert "credit v1" in page
        assert "met, then not met" in page
        assert "unsatisfied" not in page
        assert "required at least 0.99" in page
        assert "Nothing changes here" in nobody
        assert "open review,credit,1,production,1" in table
        assert "at least 0.99" in table

    def test_rehearsed_anew(self, author: Client, erin: User) -> None:
        draft_policy("staging", text(valid_months=3), by=as_(erin))

        author.post(reverse("reviews:policy-rehearsal", args=["staging", 2]))

        assert PolicyRehearsal.objects.count() == 1

    def test_first_version_is_signed_by_its_own_rule(self, erin: User, carol: User, client_for: Browser) -> None:
        propose("extra", text(), author=make_author(erin))

        page = words(client_for(carol).get(reverse("reviews:policy-sign", args=["extra", 1])))

        assert "This is the first version of this policy" in page

    def test_published_again_is_listed_with_its_open_rounds(
        self, erin: User, carol: User, client_for: Browser, bob: User
    ) -> None:
        publish("staging", text(valid_months=3), author=make_author(erin), signer=make_signer(carol))

        assert "version 2" in words(client_for(bob).get(reverse("reviews:policies")))


class TestPacks:
    """The library."""

    def test_library_names_every_pack(self, bob: User, client_for: Browser) -> None:
        page = words(client_for(bob).get(reverse("reviews:packs")))

        assert all(pack.manifest.title in page for pack in packs())
        assert "Adopt as a draft" not in page

    @pytest.mark.parametrize("key", [pack.key for pack in packs()])
    def test_pack_shows_its_clauses_with_their_sources(self, key: str, bob: User, client_for: Browser) -> None:
        page = words(client_for(bob).get(reverse("reviews:pack", args=[key])))

        pack = next(one for one in packs() if one.key == key)
        for document in pack.documents.values():
            assert all(gate.source in page for gate in document.gates)

    def test_adopting_saves_a_draft_and_puts_nothing_in_force(self, author: Client) -> None:
        pack = packs()[-1]
        name = next(iter(pack.contents))

        answer = author.post(reverse("reviews:pack-adopt", args=[pack.key, name]), follow=True)

        assert "is saved as a draft" in words(answer)
        assert PolicyVersion.objects.filter(policy__name=name).latest("number").status == "draft"

    def test_unknown_packs_are_not_found(self, author: Client) -> None:
        assert author.get(reverse("reviews:pack", args=["nothing"])).status_code == 404
        assert author.post(reverse("reviews:pack-adopt", args=[packs()[0].key, "nothing"])).status_code == 404


def signature(**changes: str) -> dict[str, str]:
    return {"decision": "approve", "reason": "Read it all.", "secret": PASSWORD, "intent": "on"} | changes
