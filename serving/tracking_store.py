"""MLflow's own tracking store, in which a caller finds only the experiments that they may read, and writes only to those they may.

Nothing of tracking is rewritten: every call is MLflow's, asked first whether the caller may. MLflow made places for narrowing what a
query finds (its workspaces use them); here they narrow to experiments, so searches page and count over what is permitted, and what is
not is answered as what does not exist.
"""

# mypy: disallow-untyped-calls=False
# The store that is extended here has no annotations.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, wraps
from inspect import signature
from typing import Any, Final

from serving import django_ready  # noqa: F401 - MLflow's server imports this module

# isort: split

import sqlalchemy
from django.db import close_old_connections, connection
from mlflow.entities import ViewType
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.tracking.dbmodels.models import (
    SqlEntityAssociation,
    SqlEvaluationDataset,
    SqlExperiment,
    SqlLoggedModel,
    SqlRun,
    SqlTraceInfo,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from access.permissions import snapshot
from access.principal import Principal
from audit.actions import append_alone
from audit.events import Action, Obj, Outcome
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal
from serving.caller import caller
from serving.mlflow_errors import as_mlflow
from serving.tracking import folder_in
from serving.tracking_access import allows, check, numbers
from serving.tracking_actions import Known, adopt_experiments, note_experiment, record_experiment
from serving.tracking_models import MAX_FOLDER_CHARACTERS, Experiment, Level, Others
from serving.tracking_rules import CALLS, INNER, Kind
from serving.wire_rules import OURS, plain_path

OTHERS_TAG: Final = "countersign.others"
"""A tag that a client sets when it creates an experiment, to say what everybody else may: closed, read or write."""

ABSENT: Final = {
    Kind.EXPERIMENT: "No Experiment with id={id} exists",
    Kind.RUN: "Run with id={id} not found",
    Kind.MODEL: "Logged model with ID '{id}' not found.",
    Kind.TRACE: "Trace with ID '{id}' not found.",
    Kind.NEW_TRACE: "Trace with ID '{id}' not found.",
}
"""What MLflow says of what does not exist, so that nobody can tell it from what they may not see."""

KEYED: Final[dict[Kind, tuple[Any, Any]]] = {
    Kind.RUN: (SqlRun, SqlRun.run_uuid),
    Kind.MODEL: (SqlLoggedModel, SqlLoggedModel.model_id),
    Kind.TRACE: (SqlTraceInfo, SqlTraceInfo.request_id),
    Kind.NEW_TRACE: (SqlTraceInfo, SqlTraceInfo.request_id),
}
ASSOCIATED: Final[dict[Any, tuple[Any, Any]]] = {
    EntityAssociationType.EXPERIMENT: (SqlExperiment, SqlExperiment.experiment_id),
    EntityAssociationType.RUN: (SqlRun, SqlRun.run_uuid),
    EntityAssociationType.TRACE: (SqlTraceInfo, SqlTraceInfo.request_id),
}


class _Asked:
    """One call from outside: who makes it, and which experiments they read, asked once."""

    def __init__(self, by: Principal) -> None:
        self.by = snapshot(by)

    @cached_property
    def readable(self) -> frozenset[int] | None:
        """MLflow's numbers; None: all of them."""
        return numbers(self.by, Level.READ)


_SEES_ALL: Final[ContextVar[bool]] = ContextVar("tracking_sees_all", default=False)
_inside: Final[ContextVar[_Asked | None]] = ContextVar("tracking_call_inside", default=None)


class GovernedStore(SqlAlchemyStore):
    """MLflow's `SqlAlchemyStore` behind `tracking_access`; every call is made by `serving.caller.caller()`."""

    def __init__(self, db_uri: str, default_artifact_root: str, read_db_uri: str | None = None) -> None:
        with _seeing_all():  # MLflow looks for its first experiment, for nobody
            super().__init__(db_uri, default_artifact_root, read_db_uri=read_db_uri)

    # experiments come and go here

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        """A new experiment of the caller's, with files of its own, which nobody else's experiment shares."""
        by, others = caller(), _others(tags)
        _check_folder(artifact_location)
        try:
            made = str(super().create_experiment(name, artifact_location, tags))
        except MlflowException as error:
            if (
                error.error_code == ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
                and self.get_experiment_by_name(name) is None
            ):
                raise Conflict(
                    f"There is an experiment “{name}” already, and {by.name} has no part in it. Choose another name, or ask whoever "
                    "made it, or an administrator, to share it on the portal.",
                    code="model-exists",
                ) from error
            raise
        try:
            with _seeing_all():
                record_experiment(self._known(self.get_experiment(made)), others=others, by=by)
        except Exception:
            with _seeing_all():
                super().delete_experiment(made)
            raise
        return made

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Rename it, here and in MLflow's tables."""
        super().rename_experiment(experiment_id, new_name)
        _note(experiment_id, name=new_name)

    def delete_experiment(self, experiment_id: str) -> None:
        """Put it away with its runs; who had it keeps having it."""
        super().delete_experiment(experiment_id)
        _note(experiment_id, deleted=True)

    def restore_experiment(self, experiment_id: str) -> None:
        """Bring it back."""
        super().restore_experiment(experiment_id)
        _note(experiment_id, deleted=False)

    def create_dataset(self, name: str, tags: Any = None, experiment_ids: list[str] | None = None) -> Any:
        """A dataset belongs to the experiments that it is made for; one for nobody's would be everybody's."""
        if not experiment_ids:
            raise Invalid(
                "Name the experiments that the dataset is for: experiment_id=[…].", code="dataset-experiments"
            )
        return super().create_dataset(name, tags, experiment_ids)

    # what a query may find

    def _get_query(self, session: Any, model: Any) -> Any:
        query, ids = super()._get_query(session, model), _readable()
        if ids is None:
            return query
        if model is SqlEvaluationDataset:
            return query.filter(SqlEvaluationDataset.dataset_id.in_(_datasets(ids)))
        column = getattr(model, "experiment_id", None)
        if column is None and hasattr(model, "run_uuid"):
            return query  # part of a run that the call was asked about
        if column is None:
            raise Forbidden(f"{model.__name__} belongs to no experiment; it is not served here.")
        return query.filter(column.in_(ids))

    def _experiment_where_clauses(self) -> list[Any]:
        ids = _readable()
        return [] if ids is None else [SqlExperiment.experiment_id.in_(ids)]

    def _filter_experiment_ids(self, session: Any, experiment_ids: Any, lifecycle_stage: str | None = None) -> Any:
        found, ids = super()._filter_experiment_ids(session, experiment_ids, lifecycle_stage), _readable()
        return found if ids is None else [one for one in found if int(one) in ids]

    def _filter_entity_ids(self, session: Any, entity_type: EntityAssociationType, entity_ids: list[str]) -> Any:
        ids = _readable()
        if ids is None or not entity_ids:
            return entity_ids
        found = session.execute(_ids_of(entity_type, ids, entity_ids)).scalars()
        return [str(one) for one in found]

    def _filter_association_query(self, session: Any, query: Any, target_type: Any, id_column: Any) -> Any:
        ids = _readable()
        return query if ids is None else query.filter(id_column.in_(_ids_of(target_type, ids)))

    def _validate_run_accessible(self, session: Any, run_id: str) -> None:
        self._see(session, Kind.RUN, run_id)

    def _validate_trace_accessible(self, session: Any, trace_id: str) -> None:
        self._see(session, Kind.TRACE, trace_id)

    def _validate_dataset_accessible(self, session: Any, dataset_id: str) -> None:
        found = self._dataset_query(session).filter(SqlEvaluationDataset.dataset_id == dataset_id).first()
        if found is None:
            raise MlflowException(f"Dataset '{dataset_id}' not found.", RESOURCE_DOES_NOT_EXIST)

    # who may

    def experiments_of(self, kind: Kind, identifier: str) -> list[int]:
        """MLflow's numbers of the experiments that something belongs to; none where it does not exist."""
        if kind is Kind.EXPERIMENT:
            return [int(identifier)] if identifier.isdecimal() else []
        with self.ManagedSessionMaker() as session:
            if kind is Kind.DATASET:
                rows = session.query(SqlEntityAssociation.destination_id).filter(
                    SqlEntityAssociation.source_type == EntityAssociationType.EVALUATION_DATASET,
                    SqlEntityAssociation.source_id == identifier,
                    SqlEntityAssociation.destination_type == EntityAssociationType.EXPERIMENT,
                )
            else:
                model, column = KEYED[kind]
                rows = session.query(model.experiment_id).filter(column == identifier)
            return [int(row[0]) for row in rows]

    def check(self, by: Principal, level: Level, kind: Kind, identifier: str) -> None:
        """Return when `by` has `level` on the experiments of something; what they may not read is absent, as MLflow says it."""
        found = self.experiments_of(kind, identifier)
        if kind is Kind.DATASET:
            if not found or not any(allows(by, Level.READ, one) for one in found):
                return  # every query for a dataset is narrowed, so the call finds nothing
        elif found and not all(allows(by, Level.READ, one) for one in found):
            _record_denied(by, found[0])
            raise MlflowException(ABSENT[kind].format(id=identifier), RESOURCE_DOES_NOT_EXIST)
        if level is not Level.READ:
            self._check_more(by, level, found)

    def known_experiments(self) -> list[Known]:
        """Every experiment of MLflow's, for rows that stand for them."""
        with _seeing_all():
            found: list[Known] = []
            token = None
            while True:
                page = super().search_experiments(view_type=ViewType.ALL, max_results=1_000, page_token=token)
                found += [self._known(one) for one in page]
                if not (token := page.token):
                    return found

    def adopt(self, by: Principal) -> int:
        """Give a row to each experiment that has none; how many had none."""
        rows = set(Experiment.objects.values_list("pk", flat=True))
        without = [one for one in self.known_experiments() if one.experiment_id not in rows]
        if without:
            adopt_experiments(without, by=by)
        return len(without)

    def _check_more(self, by: Principal, level: Level, found: Iterable[int]) -> None:
        try:
            check(by, level, found)
        except Forbidden:
            _record_denied(by, next(iter(found)))
            raise

    def _see(self, session: Any, kind: Kind, identifier: str) -> None:
        model, column = KEYED[kind]
        if self._get_query(session, model).filter(column == identifier).first() is None:
            raise MlflowException(ABSENT[kind].format(id=identifier), RESOURCE_DOES_NOT_EXIST)

    @staticmethod
    def _known(experiment: Any) -> Known:
        folder = folder_in(experiment.artifact_location or "") or ""
        return Known(int(experiment.experiment_id), experiment.name, folder, experiment.lifecycle_stage == "deleted")


def _governed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """`method` of MLflow's store, for the caller only what `CALLS` says; what it calls itself belongs to it."""
    call, takes = CALLS.get(name), signature(method)

    @wraps(method)
    def run(self: GovernedStore, *args: Any, **kwargs: Any) -> Any:
        if _inside.get() is not None or _SEES_ALL.get():
            return method(self, *args, **kwargs)
        if not connection.in_atomic_block:
            close_old_connections()
        token = None
        try:
            asked = _Asked(caller())
            token = _inside.set(asked)
            if call is None:
                raise Forbidden(f"{name.replace('_', ' ').capitalize()} is not served here.", code="not-served")
            given = takes.bind(self, *args, **kwargs).arguments
            for kind, identifier in call.subjects(given) if call.level else ():
                self.check(asked.by, call.level, kind, identifier)  # type: ignore[arg-type]  # it is set, the line above asks
            return method(self, *args, **kwargs)
        except Refusal as refusal:
            raise as_mlflow(refusal) from refusal
        finally:
            if token is not None:
                _inside.reset(token)

    return run


for _name in dir(SqlAlchemyStore):
    if not _name.startswith("_") and callable(getattr(SqlAlchemyStore, _name)) and _name not in INNER:
        setattr(GovernedStore, _name, _governed(_name, getattr(GovernedStore, _name)))


def _store(store_uri: str, artifact_uri: str) -> GovernedStore:
    return GovernedStore(store_uri, artifact_uri)


def serve_governed() -> GovernedStore:
    """From now on, in this process, MLflow's handlers use this store; raises `RuntimeError` where they would not.

    By the registry that MLflow has for stores of others, under the schemes that its own one stands there for.
    """
    from mlflow.server import handlers

    for scheme in ("sqlite", "postgresql"):
        handlers._tracking_store_registry.register(scheme, _store)
    store = handlers._get_tracking_store()
    if not isinstance(store, GovernedStore):
        raise RuntimeError(
            f"MLflow's server uses {type(store).__name__}, in which nobody's experiments are kept apart."
        )
    with ThreadPoolExecutor(1) as pool:  # the server calls this inside its event loop, where Django asks no database
        pool.submit(_adopt, store).result()
    return store


def _adopt(store: GovernedStore) -> None:
    try:
        store.adopt(Principal.system("mlflow"))
    finally:
        connection.close()


@contextmanager
def _seeing_all() -> Iterator[None]:
    token = _SEES_ALL.set(True)
    try:
        yield
    finally:
        _SEES_ALL.reset(token)


def _readable() -> frozenset[int] | None:
    """MLflow's numbers of the experiments that the caller reads; None: all of them."""
    if _SEES_ALL.get():
        return None
    return (_inside.get() or _Asked(caller())).readable


def _datasets(ids: frozenset[int]) -> Any:
    return sqlalchemy.select(SqlEntityAssociation.source_id).where(
        SqlEntityAssociation.source_type == EntityAssociationType.EVALUATION_DATASET,
        SqlEntityAssociation.destination_type == EntityAssociationType.EXPERIMENT,
        SqlEntityAssociation.destination_id.in_([str(one) for one in ids]),
    )


def _ids_of(kind: Any, ids: frozenset[int], among: list[str] | None = None) -> Any:
    """A query for the identifiers of one kind of thing in these experiments, as text, since associations keep them so."""
    if kind == EntityAssociationType.EVALUATION_DATASET:
        found = _datasets(ids)
        return found if among is None else found.where(SqlEntityAssociation.source_id.in_(among))
    if kind not in ASSOCIATED:
        return sqlalchemy.select(SqlRun.run_uuid).where(sqlalchemy.false())
    model, column = ASSOCIATED[kind]
    text = sqlalchemy.cast(column, sqlalchemy.String)
    found = sqlalchemy.select(text).where(model.experiment_id.in_(ids))
    return found if among is None else found.where(text.in_([str(one) for one in among]))


def _note(experiment_id: str, **changed: Any) -> None:
    experiment = Experiment.objects.filter(pk=int(experiment_id)).first()
    if experiment is not None:
        note_experiment(experiment, by=caller(), **changed)


def _others(tags: Any) -> Others | None:
    value = next((tag.value for tag in tags or () if tag.key == OTHERS_TAG), None)
    if value is None:
        return None
    if value not in Others.values:
        raise Invalid(f"The tag {OTHERS_TAG} is one of {', '.join(Others.values)}, not {value[:40]!r}.", code="others")
    return Others(value)


def _check_folder(location: str | None) -> None:
    """That no other experiment's files lie in or around the folder that a client chose for a new one."""
    if not location:
        return
    folder = folder_in(location)
    if folder is None:
        return
    first = folder.partition("/")[0]
    taken = (
        not first
        or plain_path(folder) != folder
        or first.isdecimal()
        or first.casefold() == OURS
        or len(folder) > MAX_FOLDER_CHARACTERS
    )
    taken = taken or Experiment.objects.containing(folder).exists()
    if taken or Experiment.objects.filter(folder__startswith=folder + "/").exists():
        raise Invalid(
            f"The artifact location {location!r} is another experiment's, or could become one's. Leave it out, and the experiment gets a "
            "folder of its own.",
            code="folder",
        )


def _record_denied(by: Principal, experiment_id: int) -> None:
    name = Experiment.objects.filter(pk=experiment_id).values_list("name", flat=True).first() or ""
    append_alone(
        Action.EXPERIMENT_VIEW,
        by=by,
        obj=Obj("experiment", str(experiment_id), name[:200]),
        outcome=Outcome.DENIED,
        why="experiment",
    )
