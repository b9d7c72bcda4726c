"""The registry's pages as people see them: what they say, what is empty, and who may not see them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from access.permissions import grants_on
from registry.actions import register_version, revise_card, set_alias
from registry.models import Alias, RegisteredModel
from registry.queries import evidence_of
from registry.store import ArtifactStore
from tests.conftest import as_
from tests.datasets.made import prepared, registered, versioned
from tests.factories import stored_tiny_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(model, make_version):
    return make_version(model)


def test_the_list_says_what_is_live_and_what_comes_next(client_for, alice, version):
    page = client_for(alice).get(reverse("registry:models")).content.decode()

    assert "credit" in page
    assert "nothing yet" in page
    assert "v1" in page


def test_an_empty_list_names_the_first_action(client_for, alice):
    page = client_for(alice).get(reverse("registry:models")).content.decode()

    assert "Register the first model" in page


def test_an_empty_filter_says_so(client_for, alice, model):
    page = client_for(alice).get(reverse("registry:models"), {"q": "zzz"}).content.decode()

    assert "No model matches" in page


@pytest.mark.parametrize(
    ("standing", "shown"), [("idle", True), ("production", False), ("review", False), ("archived", False)]
)
def test_the_list_is_filtered_by_standing(client_for, alice, version, standing, shown):
    page = client_for(alice).get(reverse("registry:models"), {"standing": standing}).content.decode()

    assert ("nothing yet" in page) == shown
    assert ("No model matches" in page) != shown


def test_the_list_takes_a_fixed_number_of_statements(client_for, alice, make_version, django_assert_max_num_queries):
    from registry.actions import create_model

    for number in range(8):
        create_model(f"model-{number}", by=as_(alice))
    client = client_for(alice)

    with django_assert_max_num_queries(25):
        client.get(reverse("registry:models"))


def test_a_model_is_registered_from_the_form(client_for, alice):
    answer = client_for(alice).post(reverse("registry:new"), {"name": "churn", "tier": "2", "intended_use": "Offers"})

    assert answer.status_code == 302
    model = RegisteredModel.objects.get(name="churn")
    assert (model.tier, model.owner) == (2, alice)


def test_a_taken_name_is_said_beside_the_field(client_for, alice, model):
    answer = client_for(alice).post(reverse("registry:new"), {"name": "Credit", "tier": "2", "intended_use": "Offers"})

    assert answer.status_code == 400
    assert "is taken" in answer.content.decode()


def test_the_form_takes_no_other_fields(client_for, alice, bob):
    client_for(alice).post(
        reverse("registry:new"),
        {"name": "churn", "tier": "2", "intended_use": "Offers", "owner": str(bob.pk), "last_number": "40"},
    )

    model = RegisteredModel.objects.get(name="churn")
    assert (model.owner, model.last_number) == (alice, 0)


def test_files_are_listed_with_their_digests(client_for, alice, version):
    page = client_for(alice).get(reverse("registry:files", args=["credit", 1])).content.decode()

    assert "Admitted." in page
    for file in version.files:
        assert file.sha256 in page


def test_a_file_downloads_as_an_attachment(client_for, alice, version):
    file = version.file("MLmodel")

    answer = client_for(alice).get(reverse("registry:file", args=["credit", 1, "MLmodel"]))

    assert b"".join(answer.streaming_content).startswith(b"flavors:")
    assert answer["Content-Disposition"] == 'attachment; filename="MLmodel"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert int(answer["Content-Length"]) == file.size


@pytest.mark.parametrize(
    "path",
    [
        "../MLmodel",
        "%2e%2e/MLmodel",
        "%252e%252e%252fMLmodel",
        "..%2f..%2fetc%2fpasswd",
        "MLmodel/",
        "mlmodel",
        "/MLmodel",
    ],
)
def test_no_other_path_leads_to_bytes(client_for, alice, version, path):
    answer = client_for(alice).get(f"/models/credit/v/1/files/{path}")

    assert answer.status_code == 404


def test_files_in_quarantine_are_not_handed_out(client_for, alice, model):
    from registry.actions import register_version
    from tests.factories import stored_tiny_model

    register_version(model, stored_tiny_model(), by=as_(alice), admit=False)

    answer = client_for(alice).get(reverse("registry:file", args=["credit", 1, "MLmodel"]))

    assert answer.status_code == 409


def test_evidence_names_its_producer_and_digest(client_for, alice, version):
    scan = evidence_of(version)["scan"]

    page = client_for(alice).get(reverse("registry:evidence", args=["credit", 1, scan.pk])).content.decode()

    assert scan.digest in page
    assert "Alice Moreau" in page


def test_evidence_downloads_as_json(client_for, alice, version):
    scan = evidence_of(version)["scan"]

    answer = client_for(alice).get(reverse("registry:evidence", args=["credit", 1, scan.pk]), {"download": ""})

    assert answer.json() == scan.content


def test_evidence_of_another_version_is_not_found(client_for, alice, version, make_version, model):
    other = make_version(model)
    scan = evidence_of(other)["scan"]

    answer = client_for(alice).get(reverse("registry:evidence", args=["credit", 1, scan.pk]))

    assert answer.status_code == 404


def test_lineage_says_what_is_not_known(client_for, alice, version):
    page = client_for(alice).get(reverse("registry:lineage", args=["credit", 1])).content.decode()

    assert "which data it was trained on" in page
    assert version.digest in page


def test_lineage_leads_to_the_data_only_those_who_may_open_it(client_for, alice, erin, model):
    data = versioned(registered(alice), alice)
    files, recipe = stored_tiny_model(ArtifactStore()), prepared(data.dataset, alice)
    version = register_version(model, files, dataset_version=data, recipe=recipe, by=as_(alice), admit=False)
    page, link = reverse("registry:lineage", args=["credit", version.number]), f"/datasets/{data.dataset.name}/"

    opened, plain = (client_for(reader).get(page).content.decode() for reader in (alice, erin))

    assert f'<a href="{link}">' in opened
    assert link not in plain
    assert str(data) in plain


def test_the_card_is_written_and_its_difference_shown(client_for, alice, version):
    client = client_for(alice)
    revise_card(version, {"intended_use": "Limits for existing customers."}, by=as_(alice))

    answer = client.post(
        reverse("registry:card", args=["credit", 1]),
        {"intended_use": "Limits for new customers too.", "owner": "Alice"},
        follow=True,
    )

    page = answer.content.decode()
    assert "<ins>" in page
    assert "Limits for new customers too." in page
    assert version.card_revisions.count() == 2


def test_a_card_holds_no_live_html(client_for, alice, version):
    revise_card(
        version, {"ethics": "<script>alert(1)</script> <img src=x onerror=alert(1)> plain words here"}, by=as_(alice)
    )

    page = client_for(alice).get(reverse("registry:card", args=["credit", 1])).content.decode()

    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_an_unchanged_card_is_refused_with_a_sentence(client_for, alice, version):
    revise_card(version, {"owner": "Alice"}, by=as_(alice))

    answer = client_for(alice).post(reverse("registry:card", args=["credit", 1]), {"owner": "Alice"})

    assert answer.status_code == 400
    assert "Nothing changed" in answer.content.decode()
    assert version.card_revisions.count() == 1


def test_a_free_alias_is_set_and_deleted_from_the_page(client_for, alice, version, model):
    client = client_for(alice)
    address = reverse("registry:alias", args=["credit"])

    client.post(address, {"name": "shadow", "version": version.pk})
    assert Alias.objects.get(name="shadow").version == version

    client.post(address, {"delete": "shadow"})
    assert not Alias.objects.filter(name="shadow").exists()


def test_a_stage_alias_is_refused_on_the_page(client_for, alice, version):
    answer = client_for(alice).post(
        reverse("registry:alias", args=["credit"]), {"name": "champion", "version": version.pk}
    )

    assert answer.status_code == 409
    assert "reviewed, signed and promoted" in answer.content.decode()


def test_whoever_may_not_see_a_model_finds_nothing(client_for, version, model, outsider):
    client = client_for(outsider)
    absent = [reverse(f"registry:{page}", args=["nothing", 1]) for page in ("files", "lineage", "card")]
    hidden = [reverse(f"registry:{page}", args=["credit", 1]) for page in ("files", "lineage", "card")]

    assert [client.get(address).status_code for address in absent + hidden] == [404] * 6


def test_a_superuser_is_nobody_special(client_for, root, version):
    assert client_for(root).get(reverse("registry:files", args=["credit", 1])).status_code == 404


def test_a_reader_without_the_permission_sees_no_forms(client_for, bob, version, alice, model):
    set_alias(model, "shadow", version, by=as_(alice))
    client = client_for(bob)

    page = client.get(reverse("registry:card", args=["credit", 1])).content.decode()
    aliases = client.get(reverse("registry:alias", args=["credit"])).content.decode()

    assert "Save a revision" not in page
    assert "Delete" not in aliases.partition("</thead>")[2]


def test_an_owner_gives_one_person_access_to_one_model_and_takes_it_back(client_for, alice, dave, version):
    address = reverse("registry:access", args=["credit"])
    chosen = {"holder": f"user:{dave.uuid}", "permission": "pull_version"}

    client_for(alice).post(address, chosen)
    given = [(one.permission.value, one.holder) for one in grants_on(version.model)]
    page = client_for(alice).get(address).content.decode()
    client_for(alice).post(reverse("registry:withdraw-access", args=["credit"]), chosen)

    assert given == [("pull_version", dave)]
    assert "pull approved versions" in page
    assert grants_on(version.model) == []


def test_an_owner_cannot_hand_out_who_releases(client_for, alice, dave, version):
    answer = client_for(alice).post(
        reverse("registry:access", args=["credit"]),
        {"holder": f"user:{dave.uuid}", "permission": "promote_version"},
    )

    assert answer.status_code == 400
    assert grants_on(version.model) == []


def test_nobody_without_charge_of_a_model_sees_its_access_page(client_for, bob, dave, version):
    address = reverse("registry:access", args=["credit"])

    assert client_for(bob).get(address).status_code == 403
    assert client_for(bob).post(address, {"holder": f"user:{dave.uuid}", "permission": "see_model"}).status_code == 403
    assert grants_on(version.model) == []


def test_giving_oneself_access_is_refused_beside_the_field(client_for, alice, version):
    answer = client_for(alice).post(
        reverse("registry:access", args=["credit"]), {"holder": f"user:{alice.uuid}", "permission": "pull_version"}
    )

    assert answer.status_code == 400
    assert "Nobody grants a permission to themselves" in answer.content.decode()
