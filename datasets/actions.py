"""Every write on datasets: register one, add a version of its bytes, add a recipe, keep a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append, append_alone
from audit.events import Action, Outcome
from audit.governed import governed
from countersign.proof.canonical import digest_of
from datasets import store
from datasets.models import Dataset, DatasetProfile, DatasetVersion, Recipe
from datasets.profile import Profile
from datasets.recipes import RecipeMistakes
from datasets.recipes import parse as parse_recipe
from datasets.schema import SchemaMistakes, TableSchema, arrow_mistakes, infer
from datasets.schema import parse as parse_schema
from datasets.store import StoredTable
from foundation.content_store import Readable
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal
from jobs.actions import enqueue

PROFILE_JOB = "datasets.profile"


@governed(Action.DATASET_REGISTER)
def register_dataset(
    name: str,
    *,
    title: str,
    target: str,
    by: Principal,
    description: str = "",
    licence: str = "",
    time_column: str = "",
    protected: Sequence[str] = (),
    schema: Mapping[str, Any] | None = None,
) -> Dataset:
    """A dataset without bytes yet. `schema` declares its columns (`datasets.schema`); without it the first version settles them.

    Raises `Invalid` naming every mistake and `Conflict` when the name is taken.
    """
    permit(by, Permission.EDIT_DATASETS)
    if Dataset.objects.filter(name=name).exists():
        raise Conflict(
            f"There is already a dataset called {name}. Add a version to it, or choose another name.",
            code="dataset-exists",
        )
    declared = _declared(schema, target=target, time_column=time_column)
    dataset = Dataset(
        name=name,
        title=title,
        description=description,
        licence=licence,
        target=target,
        time_column=time_column,
        protected=[attribute.column for attribute in declared.protected] if declared else list(protected),
        schema=declared.as_dict() if declared else {},
        owner=_person(by),
    )
    _check_fields(dataset)
    dataset.save(force_insert=True)
    append(
        Action.DATASET_REGISTER,
        by=by,
        obj=dataset.ledger_ref(),
        after={"name": name, "target": target, "time_column": time_column, "protected": list(dataset.protected)},
    )
    return dataset


def add_version(dataset: Dataset, file: Readable, *, filename: str, by: Principal, note: str = "") -> DatasetVersion:
    """Keep the bytes of `file` as the next version of `dataset` and ask a worker for their profile.

    The bytes are received before any transaction begins, so that a slow upload blocks nobody. Raises `Invalid` (name, format,
    truncated, schema), `TooLarge`, `Conflict` (the same bytes again) and `Unavailable` (disk full); nothing is kept then.
    """
    _may_add(dataset, by=by)
    try:
        stored = store.receive(file, filename=filename)
    except Refusal as refusal:
        append_alone(
            Action.DATASET_VERSION_ADD, by=by, obj=dataset.ledger_ref(), outcome=Outcome.DENIED, why=refusal.code
        )
        raise
    return _keep_version(dataset, stored, note=note, by=by)


@governed(Action.RECIPE_ADD)
def add_recipe(dataset: Dataset, name: str, content: Mapping[str, Any], *, by: Principal) -> Recipe:
    """The next number of the recipe `name`; a recipe is never changed, only followed.

    The same content as the newest number gives that one back. Raises `Invalid` with one sentence for each mistake.
    """
    dataset = Dataset.objects.locked(dataset.pk)
    permit(by, Permission.EDIT_DATASETS)
    if not dataset.schema:
        raise Conflict(
            f"{dataset.name} has no version yet, so its columns are unknown. Upload one first.", code="dataset-empty"
        )
    try:
        parsed = parse_recipe(content, dataset.declared_schema())
    except RecipeMistakes as error:
        raise Invalid(str(error), code="recipe-malformed", errors={"content": " ".join(error.mistakes)}) from error
    plain = parsed.as_dict()
    newest = dataset.recipes.filter(name=name).order_by("-number").first()
    if newest and newest.digest == digest_of(plain):
        return newest
    recipe = Recipe(
        dataset=dataset,
        name=name,
        number=newest.number + 1 if newest else 1,
        content=plain,
        digest=digest_of(plain),
        created_by=_person(by),
    )
    _check_fields(recipe)
    recipe.save(force_insert=True)
    append(Action.RECIPE_ADD, by=by, obj=recipe.ledger_ref(), after={"dataset": dataset.name, "digest": recipe.digest})
    return recipe


@governed(Action.DATASET_VERSION_PROFILE)
def keep_profile(version: DatasetVersion, profile: Profile, *, by: Principal) -> DatasetProfile:
    """The profile of `version`, replacing an older one; a worker calls it inside its job's last transaction."""
    version = DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    permit(by, Permission.EDIT_DATASETS)
    content = profile.as_dict()
    kept, _ = DatasetProfile.objects.update_or_create(
        version=version, defaults={"content": content, "digest": digest_of(content)}
    )
    append(Action.DATASET_VERSION_PROFILE, by=by, obj=version.ledger_ref(), after={"digest": kept.digest})
    return kept


@governed(Action.DATASET_VERSION_ADD)
def _may_add(dataset: Dataset, *, by: Principal) -> None:
    """Refuse before the first byte is read, so that the refusal is on record and cheap."""
    permit(by, Permission.EDIT_DATASETS)
    _person(by)


@governed(Action.DATASET_VERSION_ADD)
def _keep_version(dataset: Dataset, stored: StoredTable, *, note: str, by: Principal) -> DatasetVersion:
    dataset = Dataset.objects.locked(dataset.pk)
    permit(by, Permission.EDIT_DATASETS)
    if twin := dataset.versions.filter(digest=stored.digest).first():
        raise Conflict(f"These bytes are already version {twin.number} of {dataset.name}.", code="version-exists")
    schema = _settled(dataset, stored)
    number = (dataset.versions.aggregate(highest=Max("number"))["highest"] or 0) + 1
    version = DatasetVersion(
        dataset=dataset,
        number=number,
        digest=stored.digest,
        size_bytes=stored.size,
        rows=stored.rows,
        columns=[{"name": f.name, "type": str(f.type), "nullable": f.nullable} for f in stored.schema],
        note=note,
        prepared_by=_person(by),
    )
    _check_fields(version)
    version.save(force_insert=True)
    if not dataset.schema:
        dataset.schema = schema.as_dict()
        dataset.save(update_fields=["schema"])
    append(
        Action.DATASET_VERSION_ADD,
        by=by,
        obj=version.ledger_ref(),
        after={"digest": version.digest, "rows": version.rows, "size": version.size_bytes},
    )
    enqueue(PROFILE_JOB, {"version": version.pk}, by=by)
    return version


def _settled(dataset: Dataset, stored: StoredTable) -> TableSchema:
    """The schema that the file fits: the declared one, or the one read from the first file. Raises `Invalid` when it does not."""
    try:
        if dataset.schema:
            schema = dataset.declared_schema()
        else:
            names = [name for name in (dataset.target, dataset.time_column, *dataset.protected) if name]
            if absent := [name for name in names if name not in stored.schema.names]:
                raise SchemaMistakes([f"Column {name!r} is missing." for name in absent])
            frame = store.read_file(store.path_of(stored.digest))
            schema = infer(frame, label=dataset.target, time=dataset.time_column, protected=dataset.protected)
        mistakes = arrow_mistakes(schema, stored.schema)
    except SchemaMistakes as error:
        mistakes = list(error.mistakes)
    if mistakes:
        raise Invalid(
            f"The file does not fit {dataset.name}: {' '.join(mistakes)}",
            code="schema-mismatch",
            errors={"file": " ".join(mistakes)},
        )
    return schema


def _declared(schema: Mapping[str, Any] | None, *, target: str, time_column: str) -> TableSchema | None:
    if not schema:
        return None
    try:
        declared = parse_schema(
            {**schema, "label": schema.get("label") or target, "time": schema.get("time") or time_column}
        )
    except SchemaMistakes as error:
        raise Invalid(str(error), code="schema-malformed", errors={"schema": " ".join(error.mistakes)}) from error
    if declared.label != target or declared.time != time_column:
        raise Invalid("The schema names another label or time column than the dataset.", code="schema-malformed")
    return declared


def _check_fields(row: Dataset | DatasetVersion | Recipe) -> None:
    try:
        row.clean_fields()
    except ValidationError as error:
        errors = {field: " ".join(sentences) for field, sentences in error.message_dict.items()}
        raise Invalid(" ".join(f"{field}: {text}" for field, text in errors.items()), errors=errors) from error


def _person(by: Principal) -> Any:
    """The user behind `by`, who becomes the owner; nobody in particular cannot own anything."""
    if by.user is None:
        raise Forbidden("Sign in first: what is written here has to have an owner.")
    return by.user
