"""Evidence as files: who may take it away, what stands in the tables, and drawings that any viewer opens."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import cast
from xml.etree import ElementTree as ET

import pytest
from django.http import StreamingHttpResponse
from django.test import Client

from access.models import User
from audit.entries import Entry
from audit.models import Pending
from registry import actions as registry_actions
from registry.models import ModelVersion, RegisteredModel
from reviews.downloads import TABLES, leaves
from reviews.models import Review
from tests.conftest import MakeVersion, as_
from tests.reviews.conftest import MakeCandidate

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
HERE = "/models/credit/v/{number}/"
DRAWN = ("performance", "fairness", "changes")
FORMULA = '=HYPERLINK("https://evil.example","x")'


def table(client: Client, address: str) -> list[list[str]]:
    answer = client.get(address)
    assert answer.status_code == 200, address
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    parts = answer.streaming_content if answer.streaming else [answer.content]  # type: ignore[attr-defined]  # as `streaming` says
    text = b"".join(cast("StreamingHttpResponse", parts)).decode()
    return list(csv.reader(io.StringIO(text)))


def last_entry() -> bytes:
    return bytes(Pending.objects.order_by("-pk")[0].payload)


@pytest.mark.parametrize("section", list(TABLES))
def test_each_section_is_a_table_and_taking_it_is_on_record(
    section: str, review: Review, dave: User, client_for: ClientFor
) -> None:
    rows = table(client_for(dave), f"/models/credit/v/1/sections/{section}/table.csv")

    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
    assert b'"action":"evidence.export"' in last_entry()
    assert f'"section":"{section}"'.encode() in last_entry()


@pytest.mark.parametrize("section", DRAWN)
def test_each_drawn_section_is_a_picture_that_needs_nothing_else(
    section: str, review: Review, dave: User, client_for: ClientFor
) -> None:
    answer = client_for(dave).get(f"/models/credit/v/1/sections/{section}/chart.svg")

    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="credit-v1-{section}.svg"'
    _stands_alone(answer.content.decode())
    assert b'"as":"svg"' in last_entry()


def _stands_alone(svg: str) -> None:
    """Well-formed, every class that colours is defined inside, no variable, no address but the name space's, no second width."""
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing
    style = "".join(one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}style"))
    assert "var(" not in svg
    assert "light-dark(" not in svg
    assert set(re.findall(r"https?://[^\"'<> ]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "only-narrow" not in svg
    assert "data-tip" not in svg
    coloured = {name for one in root.iter() for name in one.get("class", "").split() if name.startswith("c-")}
    defined = set(re.findall(r"\.(c-[\w-]+)", style))
    plain = {
        "c-s",
        "c-m",
        "c-w",
        "c-label",
        "c-thrlab",
        "c-err-cand",
    }  # sizes, and names that look as their element does
    assert coloured - defined <= plain
    assert "sha256:" in svg


@pytest.mark.parametrize("section", ["gates", "data", "card", "supply-chain", "nonsense"])
def test_a_section_that_draws_nothing_has_no_picture(
    section: str, review: Review, dave: User, client_for: ClientFor
) -> None:
    assert client_for(dave).get(f"/models/credit/v/1/sections/{section}/chart.svg").status_code == 404


@pytest.mark.parametrize("kind", ["curves", "calibration", "fairness", "importance"])
def test_a_piece_of_evidence_draws_what_it_measured(
    kind: str, candidate: ModelVersion, dave: User, client_for: ClientFor
) -> None:
    row = candidate.evidence.get(kind=kind)

    answer = client_for(dave).get(f"/models/credit/v/1/evidence/{row.pk}/chart.svg")

    assert answer.status_code == 200
    _stands_alone(answer.content.decode())
    assert row.digest in answer.content.decode()


def test_every_value_of_a_piece_of_evidence_is_in_its_table(
    candidate: ModelVersion, dave: User, client_for: ClientFor
) -> None:
    row = candidate.evidence.get(kind="metrics")

    rows = table(client_for(dave), f"/models/credit/v/1/evidence/{row.pk}/table.csv")

    assert ["metrics.auc.value", str(row.content["metrics"]["auc"]["value"])] in rows
    assert b'"action":"evidence.export"' in last_entry()


def test_the_json_of_a_piece_of_evidence_is_on_record_too(
    candidate: ModelVersion, dave: User, client_for: ClientFor
) -> None:
    row = candidate.evidence.get(kind="metrics")

    client_for(dave).get(f"/models/credit/v/1/evidence/{row.pk}/", {"download": ""})

    assert b'"action":"evidence.export"' in last_entry()
    assert b'"as":"json"' in last_entry()


def test_no_cell_acts_as_a_formula(candidate: ModelVersion, alice: User, client_for: ClientFor) -> None:
    registry_actions.revise_card(candidate, {"intended_use": FORMULA}, by=as_(alice))
    row = registry_actions.add_evidence(candidate, "slices", {FORMULA: FORMULA}, by=as_(alice))
    client = client_for(alice)

    card = table(client, "/models/credit/v/1/sections/card/table.csv")
    values = table(client, f"/models/credit/v/1/evidence/{row.pk}/table.csv")

    assert f"'{FORMULA}" in [cell for line in card for cell in line]
    assert values[1:] == [[f"'{FORMULA}", f"'{FORMULA}"]]


def test_the_table_is_of_the_version_that_the_page_compares_with(
    make_candidate: MakeCandidate, dave: User, client_for: ClientFor
) -> None:
    make_candidate(), make_candidate(auc=0.79)
    client = client_for(dave)

    beside = table(client, "/models/credit/v/2/sections/performance/table.csv?base=1")
    alone = table(client, "/models/credit/v/2/sections/performance/table.csv?base=none")
    changes = table(client, "/models/credit/v/2/sections/changes/table.csv?base=1")

    assert {line[6] for line in beside[1:]} == {"v1"}
    assert {line[6] for line in alone[1:]} == {""}
    assert changes[0] == ["field", "kind", "v1", "v2", "differs"]


def test_the_page_links_the_files_of_what_it_shows(
    make_candidate: MakeCandidate, dave: User, client_for: ClientFor
) -> None:
    make_candidate(), make_candidate()

    page = client_for(dave).get("/models/credit/v/2/", {"base": "1", "stage": "production"}).content.decode()

    links = re.findall(r'href="(/models/credit/v/2/sections/[^"]+)"', page)
    assert len(links) == len(TABLES) + len(DRAWN)
    for link in links:
        assert "stage=production" in link
        assert "base=1" in link
        assert client_for(dave).get(link.replace("&amp;", "&")).status_code == 200


def test_a_version_of_which_nothing_was_measured_has_its_page_and_tables(
    model: RegisteredModel, make_version: MakeVersion, dave: User, client_for: ClientFor
) -> None:
    make_version(model)
    client = client_for(dave)

    page = client.get("/models/credit/v/1/")

    assert page.status_code == 200
    assert "chart.svg" not in page.content.decode()
    for section in TABLES:
        table(client, f"/models/credit/v/1/sections/{section}/table.csv")


@pytest.mark.parametrize("form", ["table.csv", "chart.svg"])
@pytest.mark.parametrize("section", [*TABLES, "nonsense"])
def test_a_hidden_version_and_an_absent_one_are_answered_the_same(
    section: str, form: str, review: Review, root: User, client_for: ClientFor
) -> None:
    client = client_for(root)
    last = Pending.objects.latest("id").pk

    hidden = client.get(f"/models/credit/v/1/sections/{section}/{form}")
    absent = client.get(f"/models/unheard/v/1/sections/{section}/{form}")

    assert hidden.status_code == absent.status_code == 404
    assert b"credit v1" not in hidden.content
    written = [Entry.parse(bytes(row.payload)) for row in Pending.objects.filter(pk__gt=last)]
    assert [(one.outcome, one.actor_id) for one in written] == [("denied", str(root.uuid))] * 2


def test_evidence_of_another_version_is_not_handed_out_under_this_one(
    make_candidate: MakeCandidate, root: User, dave: User, client_for: ClientFor
) -> None:
    first, _ = make_candidate(), make_candidate()
    row = first.evidence.get(kind="fairness")

    for form in ("table.csv", "chart.svg"):
        assert client_for(dave).get(f"/models/credit/v/2/evidence/{row.pk}/{form}").status_code == 404
        assert client_for(root).get(f"/models/credit/v/1/evidence/{row.pk}/{form}").status_code == 404


def test_deep_and_empty_content_is_flattened_in_order() -> None:
    deep: dict[str, object] = {"end": 1}
    for _ in range(2_000):
        deep = {"a": deep}

    assert list(leaves({"b": [1, {"c": None}], "a": {}, "d": True})) == [("b.0", 1), ("b.1.c", "null"), ("d", "true")]
    assert len(list(leaves(deep))) == 1
