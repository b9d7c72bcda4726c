"""Writes on datasets: who may, what is refused, what is on record."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from access.models import User
from datasets import store
from datasets.actions import add_recipe, add_version, register_dataset
from datasets.models import Dataset, DatasetVersion
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound, Unavailable
from jobs.models import Job
from tests.conftest import as_
from tests.datasets.frames import RECIPE, SCHEMA, loans
from tests.datasets.made import parquet, prepared, registered, versioned

pytestmark = pytest.mark.django_db


def test_a_dataset_is_registered_with_its_protected_attributes(alice: User) -> None:
    found = registered(alice)

    assert found.protected == ["sex", "age"]
    assert found.owner == alice
    assert found.declared_schema().label == "repaid"


def test_who_holds_no_role_for_it_registers_nothing(bob: User, root: User) -> None:
    for person in (bob, root):
        with pytest.raises(Forbidden):
            registered(person)

    assert not Dataset.objects.exists()


def test_a_name_is_given_once(dataset: Dataset, alice: User) -> None:
    with pytest.raises(Conflict, match="already a dataset called loans"):
        registered(alice)


@pytest.mark.parametrize("name", ["", "Loans", "../x", "a b", "x" * 64])
def test_a_bad_name_is_told_at_its_field(name: str, alice: User) -> None:
    with pytest.raises(Invalid) as caught:
        register_dataset(name, title="t", target="y", by=as_(alice))

    assert "name" in caught.value.errors


def test_a_malformed_schema_is_told(alice: User) -> None:
    with pytest.raises(Invalid, match="numeric or category"):
        register_dataset("x", title="t", target="y", schema={"columns": [{"name": "y", "kind": "?"}]}, by=as_(alice))


def test_a_schema_that_names_another_label_is_refused(alice: User) -> None:
    with pytest.raises(Invalid, match="another label"):
        register_dataset("x", title="t", target="age", time_column="year", schema=SCHEMA, by=as_(alice))


def test_a_version_is_numbered_and_a_worker_is_asked_for_its_profile(dataset: Dataset, alice: User) -> None:
    first, second = versioned(dataset, alice, seed=1), versioned(dataset, alice, seed=2)

    assert (first.number, second.number) == (1, 2)
    assert first.rows == 1_200
    assert {column["name"] for column in first.columns} == set(dataset.declared_schema().names)
    assert store.open_version(first).is_file()
    assert Job.objects.filter(kind="datasets.profile").count() == 2


def test_the_same_bytes_are_not_a_new_version(dataset: Dataset, alice: User) -> None:
    versioned(dataset, alice, seed=1)

    with pytest.raises(Conflict, match="already version 1"):
        versioned(dataset, alice, seed=1)


def test_a_file_with_a_missing_column_is_refused_by_name(dataset: Dataset, alice: User) -> None:
    file = parquet(loans(100).drop(columns=["income"]))

    with pytest.raises(Invalid, match="Column 'income' is missing"):
        add_version(dataset, file, filename="loans.parquet", by=as_(alice))

    assert not DatasetVersion.objects.exists()


def test_the_first_version_settles_an_undeclared_schema(alice: User) -> None:
    dataset = register_dataset(
        "plain", title="Plain", target="repaid", time_column="year", protected=["sex"], by=as_(alice)
    )

    versioned(dataset, alice)

    dataset.refresh_from_db()
    assert dataset.declared_schema().names == tuple(loans(1).columns)
    with pytest.raises(Invalid, match="surprise"):
        add_version(dataset, parquet(loans(90).assign(surprise=1)), filename="x.parquet", by=as_(alice))


def test_an_undeclared_dataset_still_needs_its_target(alice: User) -> None:
    dataset = register_dataset("plain", title="Plain", target="outcome", by=as_(alice))

    with pytest.raises(Invalid, match="'outcome' is missing"):
        versioned(dataset, alice)


def test_who_may_not_add_versions_is_refused_before_a_byte_is_read(
    dataset: Dataset, bob: User, settings: Settings
) -> None:
    class Untouched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("the upload was read")

    with pytest.raises(Forbidden):
        add_version(dataset, Untouched(), filename="loans.parquet", by=as_(bob))

    assert not Path(settings.DATASET_DIR).exists()


def test_two_versions_with_one_number_are_refused_by_the_database(dataset: Dataset, alice: User) -> None:
    version = versioned(dataset, alice)
    version.pk, version.digest = None, "0" * 64

    with pytest.raises(IntegrityError), transaction.atomic():
        version.save(force_insert=True)


def test_changed_bytes_are_noticed(dataset: Dataset, alice: User) -> None:
    version = versioned(dataset, alice)
    path = store.open_version(version)
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(Unavailable, match="have changed"):
        store.verify(version)


def test_a_missing_file_is_said(dataset: Dataset, alice: User) -> None:
    version = versioned(dataset, alice)
    store.open_version(version).unlink()

    with pytest.raises(NotFound, match="Restore it from a backup"):
        store.read_table(version)


def test_a_recipe_is_numbered_and_never_changed(dataset: Dataset, alice: User) -> None:
    versioned(dataset, alice)
    first = prepared(dataset, alice)
    changed: dict[str, Any] = {
        **RECIPE,
        "steps": [{"step": "filter_rows", "column": "age", "op": ">=", "value": 18}, *RECIPE["steps"]],
    }

    second = add_recipe(dataset, "standard", changed, by=as_(alice))

    assert (first.number, second.number) == (1, 2)
    assert first.digest != second.digest
    assert prepared(dataset, alice).number == 3, "going back to the first text is a decision of its own"


def test_the_same_recipe_again_is_the_same_recipe(dataset: Dataset, alice: User) -> None:
    versioned(dataset, alice)

    assert prepared(dataset, alice) == prepared(dataset, alice)


def test_a_malformed_recipe_is_refused_with_every_mistake(dataset: Dataset, alice: User) -> None:
    with pytest.raises(Invalid) as caught:
        add_recipe(dataset, "bad", {"recipe": 1, "target": "wealth", "steps": [{"step": "zap"}]}, by=as_(alice))

    assert caught.value.code == "recipe-malformed"
    assert "'wealth'" in caught.value.detail
    assert "'zap'" in caught.value.detail


def test_a_worker_profiles_a_version_and_compares_it_with_the_one_before(
    dataset: Dataset, alice: User, perform_jobs: Callable[[], int]
) -> None:
    versioned(dataset, alice, seed=1)
    second = versioned(dataset, alice, seed=2)

    perform_jobs()

    second.refresh_from_db()
    assert second.profile.content["rows"] == 1_200
    assert {column["column"] for column in second.profile.content["drift"]} == {
        "age",
        "income",
        "region",
        "sex",
        "repaid",
    }
    job = Job.objects.get(payload__version=second.pk)
    assert job.result["compared_with"] == 1


def test_a_worker_clears_away_what_killed_uploads_left(
    dataset: Dataset, alice: User, perform_jobs: Callable[[], int], settings: Settings
) -> None:
    versioned(dataset, alice)
    left = Path(settings.DATASET_DIR) / "incoming" / "0000.part"
    left.write_bytes(b"half")

    perform_jobs()

    assert not left.exists()
