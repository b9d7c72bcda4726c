"""The search and the palette: every kind of thing is found by who may see it, and does not exist for anybody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote_plus

import orjson
import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from access.models import User
from access.permissions import Permission, grant
from access.principal import Principal
from audit.models import Pending
from config.search import PER_PAGE
from config.search_kinds import KINDS
from registry.actions import create_model
from registry.models import ModelVersion, RegisteredModel
from reviews.actions import raise_finding
from reviews.models import Finding
from tests.conftest import MakeVersion, as_
from tests.datasets.made import registered

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
OPERATOR = Principal.system("operator")


@pytest.fixture
def version(model: RegisteredModel, make_version: MakeVersion) -> ModelVersion:
    make_version(model)
    return make_version(model)


@pytest.fixture
def finding(version: ModelVersion, alice: User, bob: User) -> Finding:
    return raise_finding(
        version,
        title="Calibration of the young",
        detail="",
        severity="minor",
        owner=alice,
        due_at=timezone.now() + timedelta(days=9),
        verifying_group=Group.objects.get(name="Model validation"),
        by=as_(bob),
    )


@pytest.fixture
def world(finding: Finding, alice: User) -> dict[str, tuple[str, str]]:
    """By kind: what one types, and the address that it should lead to."""
    registered(alice)
    return {
        "models": ("CRED", "/models/credit/"),
        "versions": ("credit v2", "/models/credit/v/2/"),
        "findings": ("of the young", f"/findings/{finding.uuid}/"),
        "policies": ("tier-1", "/policies/production-tier-1/v/1/"),
        "datasets": ("loan", "/datasets/loans/"),
        "people": ("moreau", f"/people/{alice.uuid}/"),
    }


def found(client: Client, query: str, **more: str) -> str:
    answer = client.get("/search/", {"q": query, **more})
    assert answer.status_code == 200
    return answer.content.decode()


def palette(client: Client, query: str) -> str:
    answer = client.get("/search/", {"q": query}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_there_is_a_case_for_every_kind(world: dict[str, tuple[str, str]]) -> None:
    assert set(world) == {kind.key for kind in KINDS}


@pytest.mark.parametrize("kind", [kind.key for kind in KINDS])
def test_each_kind_is_found_by_who_may_see_it(
    kind: str, world: dict[str, tuple[str, str]], erin: User, alice: User, client_for: ClientFor
) -> None:
    query, address = world[kind]
    client = client_for(erin if kind == "people" else alice)

    assert f'href="{address}"' in found(client, query)
    assert f'href="{address}"' in found(client, query, kind=kind)
    assert f'data-href="{address}"' in palette(client, query)
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("kind", [kind.key for kind in KINDS if kind.key != "policies"])
def test_what_one_may_not_see_is_as_if_it_were_not_there(
    kind: str, world: dict[str, tuple[str, str]], root: User, client_for: ClientFor
) -> None:
    query, address = world[kind]
    absent = query.translate(str.maketrans("abcdeopru", "zzzzzzzzz"))
    client = client_for(root)

    for look in (found, palette, lambda c, q: found(c, q, kind=kind)):
        there, nowhere = look(client, query), look(client, absent)
        assert address not in there
        assert _bare(there, query) == _bare(nowhere, absent)


def _bare(page: str, query: str) -> str:
    """The page without what was asked and without what is new in every answer."""
    body = page[page.find("<main") :] if "<main" in page else page
    body = body[: body.find("</main>")] if "</main>" in body else body
    return body.replace(query, "").replace(quote_plus(query), "")


def test_a_version_of_a_hidden_model_is_not_found_by_its_digest(
    version: ModelVersion, root: User, client_for: ClientFor
) -> None:
    digest = version.digest[:12]

    assert "/models/credit/" not in found(client_for(root), digest)
    assert _bare(found(client_for(root), digest), digest) == _bare(found(client_for(root), "f" * 12), "f" * 12)


def test_a_grant_on_one_model_finds_that_model_s_things_only(
    world: dict[str, tuple[str, str]], alice: User, root: User, make_version: MakeVersion, client_for: ClientFor
) -> None:
    other = create_model("credit-cards", tier=3, by=as_(alice))
    make_version(other)
    grant(other, Permission.SEE_MODEL, to=root, by=OPERATOR)
    client = client_for(root)

    assert 'href="/models/credit-cards/"' in found(client, "credit")
    assert 'href="/models/credit/"' not in found(client, "credit")
    assert "/models/credit-cards/v/1/" in found(client, "credit v1")
    assert "/models/credit/v/1/" not in found(client, "credit v1")
    assert world["findings"][1] not in found(client, "of the young")


@pytest.mark.parametrize(
    "query",
    ["credit v2", "credit V2", "credit/2", "credit 2", "credit version 2", "models:/credit/2", "credit/v/2", "v2"],
)
def test_a_version_is_found_however_it_is_called(
    query: str, version: ModelVersion, bob: User, client_for: ClientFor
) -> None:
    page = found(client_for(bob), query)

    assert 'href="/models/credit/v/2/"' in page
    assert 'href="/models/credit/v/1/"' not in page


@pytest.mark.parametrize("length", [6, 12, 64])
@pytest.mark.parametrize("prefix", ["", "sha256:", "SHA256:"])
def test_a_version_is_found_by_the_beginning_of_its_digest(
    length: int, prefix: str, version: ModelVersion, bob: User, client_for: ClientFor
) -> None:
    address = f'href="/models/credit/v/{version.number}/"'

    assert address in found(client_for(bob), prefix + version.digest[:length])
    assert address not in found(client_for(bob), version.digest[:5])
    assert address not in found(client_for(bob), version.digest[1:12])


def test_what_is_called_exactly_so_comes_first(alice: User, client_for: ClientFor) -> None:
    for name in ("a-credit", "credit", "credit-cards"):
        create_model(name, tier=3, by=as_(alice))

    page = found(client_for(alice), "credit", kind="models")

    assert page.index("/models/credit/") < page.index("/models/credit-cards/") < page.index("/models/a-credit/")


def test_an_archived_model_is_not_offered(model: RegisteredModel, alice: User, client_for: ClientFor) -> None:
    RegisteredModel.objects.filter(pk=model.pk).update(archived_at=timezone.now())

    assert 'href="/models/credit/"' not in found(client_for(alice), "credit")


def test_one_kind_is_paged_through(alice: User, client_for: ClientFor) -> None:
    for number in range(PER_PAGE + 1):
        create_model(f"many-{number:02}", tier=3, by=as_(alice))
    client = client_for(alice)

    assert f"1 to {PER_PAGE} of {PER_PAGE + 1} models" in found(client, "many", kind="models")
    assert 'href="/models/many-25/"' in found(client, "many", kind="models", page="2")
    assert "?q=many&amp;kind=models" in found(client, "many")
    assert "?q=many&amp;kind=models" in palette(client, "many")


def test_nothing_found_says_what_is_searched(bob: User, client_for: ClientFor) -> None:
    for more in ({}, {"kind": "people"}):
        assert "Searched are names of models" in found(client_for(bob), "no such thing", **more)


def test_a_query_with_a_nul_is_refused_and_says_so(root: User, client_for: ClientFor) -> None:
    answer = client_for(root).get("/search/", {"q": "\0credit"})

    assert answer.status_code == 400
    assert "NUL character" in answer.content.decode()


@pytest.mark.parametrize("query", ["", "%", "_", "\\", "' or 1=1", "<b>", "v" * 400, "credit v999999999"])
def test_odd_queries_find_nothing_and_break_nothing(
    query: str, model: RegisteredModel, root: User, client_for: ClientFor
) -> None:
    for kind in ("", "versions", "nonsense"):
        assert "/models/credit/" not in found(client_for(root), query, kind=kind)


def test_places_that_would_refuse_one_are_not_offered(root: User, dave: User, client_for: ClientFor) -> None:
    assert "Go to audit log" in palette(client_for(dave), "audit")
    assert "Go to audit log" not in palette(client_for(root), "audit")


def test_a_search_takes_few_statements(
    world: dict[str, tuple[str, str]],
    erin: User,
    client_for: ClientFor,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_for(erin)
    with django_assert_max_num_queries(
        12
    ):  # session, person, roles, one for each of six kinds, and the entry in its transaction
        palette(client, "credit v2")


def test_a_search_is_on_record_once_and_what_for_can_be_erased(
    world: dict[str, tuple[str, str]], erin: User, client_for: ClientFor
) -> None:
    before = Pending.objects.count()

    palette(client_for(erin), "Moreau")
    client_for(erin).get("/search/", {"q": " "})

    assert Pending.objects.count() == before + 1
    row = Pending.objects.latest("pk")
    entry = orjson.loads(bytes(row.payload))
    assert (entry["action"], entry["actor"]["id"]) == ("search.run", str(erin.uuid))
    assert b"Moreau" not in bytes(row.payload)
    assert b"Moreau" in bytes(row.private)
