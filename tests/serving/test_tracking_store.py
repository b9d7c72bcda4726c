"""MLflow's tracking store as two teams meet it: each finds its own experiments, and of the others' not even that they exist."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from mlflow.entities import (
    ExperimentTag,
    Feedback,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
    TraceInfo,
    TraceLocation,
    TraceState,
    ViewType,
)
from mlflow.exceptions import MlflowException
from pytest_django import Settings

from access.models import Role, User
from access.permissions import Permission
from access.principal import Principal
from audit.models import Pending
from serving.caller import set_caller
from serving.tracking_access import check_path, experiments, listed
from serving.tracking_actions import open_experiment, share_experiment, unshare_experiment
from serving.tracking_models import Experiment, Level, Others
from serving.tracking_rules import CALLS, INNER
from tests.conftest import as_
from tests.serving.quiet import GovernedStore, SqlAlchemyStore

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]  # MLflow warns about its own future


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.sqlite3"
    SqlAlchemyStore(f"sqlite:///{path}", "mlflow-artifacts:/")._dispose_engine()
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Iterator[GovernedStore]:
    made = GovernedStore(f"sqlite:///{shutil.copy(empty, tmp_path / 'mlflow.sqlite3')}", "mlflow-artifacts:/")
    made.adopt(Principal.system("mlflow"))
    yield made
    made._dispose_engine()


class Team:
    """What one person logs, with an identifier of each kind."""

    def __init__(self, store: GovernedStore, who: User, name: str) -> None:
        set_caller(as_(who))
        self.who, self.name = who, name
        self.experiment = store.create_experiment(name)
        run = store.create_run(self.experiment, "", int(time.time() * 1000), [], name)
        self.run = run.info.run_id
        store.log_batch(self.run, [Metric("auc", 0.8, 0, 0)], [Param("depth", "3")], [RunTag("team", name)])
        self.model = store.create_logged_model(self.experiment, name, self.run).model_id
        self.trace = f"tr-{name.encode().hex():0>32}"
        store.start_trace(traced(self.trace, self.experiment))
        made = store.create_assessment(Feedback(name="right", value=True, trace_id=self.trace))
        self.assessment = str(made.assessment_id)
        self.dataset = store.create_dataset(f"{name}-questions", {}, [self.experiment]).dataset_id


def traced(trace_id: str, experiment: str) -> TraceInfo:
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=int(time.time() * 1000),
        state=TraceState.OK,
    )


@pytest.fixture
def ours(store: GovernedStore, alice: User) -> Team:
    return Team(store, alice, "limits")


@pytest.fixture
def nina(db: None) -> User:
    """Trains in another team."""
    from tests.conftest import _person

    return _person("nina", display_name="Nina Brandt", role="Data scientist")


@pytest.fixture
def theirs(store: GovernedStore, nina: User) -> Team:
    return Team(store, nina, "pricing")


def refused(attempt: Callable[[], Any]) -> MlflowException:
    with pytest.raises(MlflowException) as error:
        attempt()
    return error.value


def reads(store: GovernedStore, team: Team) -> dict[str, Callable[[], Any]]:
    """Every way to ask for one thing of a team's."""
    return {
        "experiment": lambda: store.get_experiment(team.experiment),
        "run": lambda: store.get_run(team.run),
        "history": lambda: store.get_metric_history(team.run, "auc"),
        "history in steps": lambda: store.get_metric_history_bulk_interval_from_steps(team.run, "auc", [0], 10),
        "history of several": lambda: store.get_metric_history_bulk_interval([team.run], "auc", 10, None, None),
        "model": lambda: store.get_logged_model(team.model),
        "trace info": lambda: store.get_trace_info(team.trace),
        "assessment": lambda: store.get_assessment(team.trace, team.assessment),
        "dataset": lambda: store.get_dataset(team.dataset),
        "dataset's records": lambda: store._load_dataset_records(team.dataset),
    }


def writes(store: GovernedStore, team: Team, mine: Team) -> dict[str, Callable[[], Any]]:
    """Every way to change something of a team's, also by the side door of something of one's own."""
    return {
        "run": lambda: store.create_run(team.experiment, "", 0, [], "x"),
        "metric": lambda: store.log_metric(team.run, Metric("auc", 1.0, 0, 0)),
        "metric of their model": lambda: store.log_metric(mine.run, Metric("auc", 1.0, 0, 0, model_id=team.model)),
        "batch with their model": lambda: store.log_batch(
            mine.run, [Metric("auc", 1.0, 0, 0, model_id=team.model)], [], []
        ),
        "batch": lambda: store.log_batch(team.run, [Metric("auc", 1.0, 0, 0)], [], []),
        "param": lambda: store.log_param(team.run, Param("a", "b")),
        "tag": lambda: store.set_tag(team.run, RunTag("a", "b")),
        "tag gone": lambda: store.delete_tag(team.run, "team"),
        "status": lambda: store.update_run_info(team.run, None, 0, "mine"),
        "run gone": lambda: store.delete_run(team.run),
        "run back": lambda: store.restore_run(team.run),
        "inputs": lambda: store.log_inputs(team.run, []),
        "outputs": lambda: store.log_outputs(team.run, []),
        "model": lambda: store.create_logged_model(team.experiment, "x"),
        "model's state": lambda: store.finalize_logged_model(team.model, LoggedModelStatus.FAILED),
        "model's params": lambda: store.log_logged_model_params(team.model, []),
        "model's tags": lambda: store.set_logged_model_tags(team.model, []),
        "model gone": lambda: store.delete_logged_model(team.model),
        "experiment's tag": lambda: store.set_experiment_tag(team.experiment, ExperimentTag("a", "b")),
        "experiment's name": lambda: store.rename_experiment(team.experiment, "mine"),
        "experiment gone": lambda: store.delete_experiment(team.experiment),
        "trace": lambda: store.start_trace(traced("tr-" + "9" * 32, team.experiment)),
        "trace, taken over": lambda: store.start_trace(traced(team.trace, mine.experiment)),
        "trace's tag": lambda: store.set_trace_tag(team.trace, "a", "b"),
        "trace's tag gone": lambda: store.delete_trace_tag(team.trace, "a"),
        "traces gone": lambda: store.delete_traces(team.experiment, trace_ids=[team.trace]),
        "assessment": lambda: store.create_assessment(Feedback(name="x", value=1, trace_id=team.trace)),
        "assessment changed": lambda: store.update_assessment(team.trace, team.assessment, name="x"),
        "assessment gone": lambda: store.delete_assessment(team.trace, team.assessment),
        "trace linked": lambda: store.link_traces_to_run([team.trace], mine.run),
        "run linked": lambda: store.link_traces_to_run([mine.trace], team.run),
        "dataset": lambda: store.create_dataset("x", {}, [team.experiment]),
        "dataset's tags": lambda: store.set_dataset_tags(team.dataset, {"a": "b"}),
        "dataset's records": lambda: store.upsert_dataset_records(team.dataset, [{"inputs": {"a": 1}}]),
        "dataset taken": lambda: store.add_dataset_to_experiments(team.dataset, [mine.experiment]),
        "dataset brought": lambda: store.add_dataset_to_experiments(mine.dataset, [team.experiment]),
    }


def found(store: GovernedStore, *teams: Team) -> dict[str, set[str]]:
    """What each search finds when it is asked for everything of these teams."""
    ids = [team.experiment for team in teams]
    return {
        "experiments": {one.experiment_id for one in store.search_experiments()} - {"0"},
        "runs": {one.info.run_id for one in store.search_runs(ids, "", ViewType.ALL)},
        "models": {one.model_id for one in store.search_logged_models(ids)},
        "traces": {one.trace_id for one in store.search_traces(locations=ids)[0]},
        "trace infos": {one.trace_id for one in store.batch_get_trace_infos([team.trace for team in teams])},
        "histories": {one.run_id for one in store.get_metric_history_bulk([team.run for team in teams], "auc", 100)},
        "datasets": {one.dataset_id for one in store.search_datasets()},
        "datasets of theirs": {one.dataset_id for one in store.search_datasets(experiment_ids=ids)},
    }


def all_of(*teams: Team) -> dict[str, set[str]]:
    return {
        "experiments": {team.experiment for team in teams},
        "runs": {team.run for team in teams},
        "models": {team.model for team in teams},
        "traces": {team.trace for team in teams},
        "trace infos": {team.trace for team in teams},
        "histories": {team.run for team in teams},
        "datasets": {team.dataset for team in teams},
        "datasets of theirs": {team.dataset for team in teams},
    }


def test_the_owner_reads_and_writes_everything(store: GovernedStore, ours: Team) -> None:
    for name, attempt in (reads(store, ours) | writes(store, ours, ours)).items():
        if name not in {"run back", "traces gone", "run gone", "model gone", "experiment gone"}:
            attempt()

    assert Experiment.objects.get(pk=ours.experiment).name == "mine", "the row follows MLflow's name"


def test_what_is_another_team_s_is_not_there(store: GovernedStore, ours: Team, theirs: Team, alice: User) -> None:
    set_caller(as_(alice))

    for name, attempt in reads(store, theirs).items():
        assert refused(attempt).error_code == "RESOURCE_DOES_NOT_EXIST", name
    for name, attempt in writes(store, theirs, ours).items():
        assert refused(attempt).error_code == "RESOURCE_DOES_NOT_EXIST", name

    assert store.get_experiment_by_name("pricing") is None
    assert found(store, ours, theirs) == all_of(ours)


def test_absent_and_forbidden_read_the_same(store: GovernedStore, ours: Team, theirs: Team, alice: User) -> None:
    set_caller(as_(alice))
    nowhere = Team.__new__(Team)
    nowhere.experiment, nowhere.run, nowhere.model = "999", "e" * 32, "m-" + "f" * 32
    nowhere.trace, nowhere.assessment, nowhere.dataset = "tr-" + "b" * 32, "a-1", "d-" + "c" * 32
    absent, forbidden = reads(store, nowhere), reads(store, theirs)

    def without_ids(sentence: str, team: Team) -> str:
        for one in (team.run, team.model, team.trace, team.dataset, team.experiment):
            sentence = sentence.replace(one, "*")
        return sentence

    for name in absent.keys() - {"assessment"}:
        assert without_ids(refused(absent[name]).message, nowhere) == without_ids(
            refused(forbidden[name]).message, theirs
        )


def test_whom_it_is_shared_with_reads_it_and_writes_only_when_told(
    store: GovernedStore, ours: Team, theirs: Team, alice: User
) -> None:
    experiment = Experiment.objects.get(pk=theirs.experiment)
    share_experiment(experiment, Level.READ, to=alice, by=as_(theirs.who))
    set_caller(as_(alice))

    for attempt in reads(store, theirs).values():
        attempt()
    for name, attempt in writes(store, theirs, ours).items():
        assert refused(attempt).error_code == "PERMISSION_DENIED", name
    assert found(store, ours, theirs) == all_of(ours, theirs)
    sentence = refused(lambda: store.log_param(theirs.run, Param("a", "b"))).message
    assert "pricing" in sentence
    assert "Nina Brandt" in sentence, "it says who can share it"

    share_experiment(experiment, Level.WRITE, to=alice, by=as_(theirs.who))
    store.log_param(theirs.run, Param("a", "b"))
    assert refused(lambda: store.delete_experiment(theirs.experiment)).error_code == "PERMISSION_DENIED"
    share_experiment(experiment, Level.MANAGE, to=alice, by=as_(theirs.who))
    store.delete_experiment(theirs.experiment)
    store.restore_experiment(theirs.experiment)

    unshare_experiment(experiment, to=alice, by=as_(theirs.who))
    assert refused(lambda: store.get_run(theirs.run)).error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_group_and_everybody_can_be_let_in(store: GovernedStore, theirs: Team, bob: User, alice: User) -> None:
    experiment = Experiment.objects.get(pk=theirs.experiment)
    group = Group.objects.create(name="Pricing")
    group.user_set.add(alice)
    set_caller(as_(alice))
    assert refused(lambda: store.get_run(theirs.run)).error_code == "RESOURCE_DOES_NOT_EXIST"

    share_experiment(experiment, Level.READ, to=group, by=as_(theirs.who))
    store.get_run(theirs.run)

    unshare_experiment(experiment, to=group, by=as_(theirs.who))
    open_experiment(experiment, Others.READ, by=as_(theirs.who))
    store.get_run(theirs.run)
    assert refused(lambda: store.log_param(theirs.run, Param("a", "b"))).error_code == "PERMISSION_DENIED"


def test_a_role_may_read_every_experiment_and_write_none(
    store: GovernedStore, ours: Team, theirs: Team, bob: User
) -> None:
    set_caller(as_(bob))

    assert as_(bob).allows(Permission.SEE_EXPERIMENTS), "reviewers see what a version came from"
    assert found(store, ours, theirs) == all_of(ours, theirs)
    assert refused(lambda: store.set_tag(ours.run, RunTag("a", "b"))).error_code == "PERMISSION_DENIED"


def test_a_token_without_the_scope_reads_less_than_its_account(store: GovernedStore, theirs: Team, bob: User) -> None:
    narrowed = Principal(bob, "token:abc", scopes=frozenset({Permission.SEE_MODEL}))

    assert not experiments(narrowed, Level.READ).exclude(pk=0).exists()


def test_a_deactivated_account_has_nothing(store: GovernedStore, ours: Team, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()

    assert not experiments(as_(alice), Level.READ).exists()


def test_what_was_there_before_stays_open_and_what_appears_later_is_closed(
    store: GovernedStore, alice: User, erin: User
) -> None:
    first = Experiment.objects.get(pk=0)
    assert (first.others, first.owner, first.folder) == (Others.WRITE, None, "0")
    set_caller(as_(alice))
    store.create_run("0", "", 0, [], "as ever")

    stray = SqlAlchemyStore(store.db_uri, "mlflow-artifacts:/")
    number = stray.create_experiment("stray")
    stray._dispose_engine()
    assert store.adopt(Principal.system("mlflow")) == 1

    assert Experiment.objects.get(pk=number).others == Others.NOTHING
    assert store.get_experiment_by_name("stray") is None
    assert listed(as_(erin)).filter(pk=number).exists(), "an administrator finds it and gives it to somebody"


def test_a_service_s_experiment_belongs_to_who_answers_for_it(store: GovernedStore, scorer: User, alice: User) -> None:
    set_caller(as_(scorer))

    made = store.create_experiment("nightly")

    row = Experiment.objects.get(pk=made)
    assert row.owner == scorer.owner
    store.set_experiment_tag(made, ExperimentTag("a", "b"))
    assert {one.level for one in row.grants.all()} == {Level.MANAGE}


def test_a_client_may_say_what_others_may_when_it_creates(
    store: GovernedStore, alice: User, nina: User, settings: Settings
) -> None:
    set_caller(as_(alice))
    made = store.create_experiment("open", tags=[ExperimentTag("countersign.others", "read")])
    error = refused(lambda: store.create_experiment("odd", tags=[ExperimentTag("countersign.others", "all")]))
    settings.NEW_EXPERIMENTS = "write"
    wide = store.create_experiment("wide")

    set_caller(as_(nina))
    assert store.get_experiment(made).name == "open"
    store.create_run(wide, "", 0, [], "theirs")
    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert Experiment.objects.get(pk=made).others == Others.READ


def test_a_name_that_is_taken_by_others_says_what_to_do(store: GovernedStore, theirs: Team, alice: User) -> None:
    set_caller(as_(alice))

    error = refused(lambda: store.create_experiment("pricing"))

    assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    assert "share it on the portal" in error.message
    assert "IntegrityError" not in error.message


@pytest.mark.parametrize(
    "location",
    ["mlflow-artifacts:/{id}", "mlflow-artifacts:/{id}/deeper", "mlflow-artifacts:/77", "mlflow-artifacts:/", "mlflow-artifacts:/own/..",
     "mlflow-artifacts:/countersign/credit", "mlflow-artifacts:/Countersign", "mlflow-artifacts:/a/%2e%2e/{id}", "mlflow-artifacts://host/{id}"],
)  # fmt: skip
def test_no_experiment_gets_its_files_where_another_s_are(
    store: GovernedStore, theirs: Team, alice: User, location: str
) -> None:
    set_caller(as_(alice))

    error = refused(lambda: store.create_experiment("sly", location.format(id=theirs.experiment)))

    assert error.error_code == "INVALID_PARAMETER_VALUE"


def test_files_follow_the_experiment_whose_folder_they_are_in(
    store: GovernedStore, ours: Team, alice: User, nina: User, bob: User
) -> None:
    set_caller(as_(alice))
    store.create_experiment("elsewhere", "mlflow-artifacts:/team/a")
    other = refused(lambda: store.create_experiment("within", "mlflow-artifacts:/team"))
    paths = [f"{ours.experiment}/run/artifacts/model", "team/a/x"]

    for path in paths:
        check_path(path, as_(alice), Level.WRITE)
        check_path(path, as_(bob), Level.READ)
        with pytest.raises(Exception, match="nothing at"):
            check_path(path, as_(nina), Level.READ)
    for path in ("", "team", "999/x"):
        with pytest.raises(Exception, match="nothing at"):
            check_path(path, as_(alice), Level.READ)
    assert other.error_code == "INVALID_PARAMETER_VALUE"


def test_a_refused_try_is_on_record(store: GovernedStore, theirs: Team, alice: User) -> None:
    set_caller(as_(alice))
    before = Pending.objects.count()

    refused(lambda: store.get_run(theirs.run))
    refused(lambda: store.get_run("f" * 32))

    assert Pending.objects.count() == before + 1, "what does not exist tells nothing"


def test_a_call_without_a_caller_finds_nothing(store: GovernedStore, ours: Team) -> None:
    from contextvars import Context

    assert refused(lambda: Context().run(store.search_experiments)).error_code == "UNAUTHENTICATED"
    with pytest.raises(Exception, match="signed in"):
        Context().run(store._search_datasets, [ours.experiment])


def test_spans_go_only_where_the_caller_writes(store: GovernedStore, ours: Team, theirs: Team, alice: User) -> None:
    set_caller(as_(alice))

    class Span:
        trace_id = theirs.trace

    error = refused(lambda: store.log_spans(ours.experiment, [Span()]))  # type: ignore[list-item]  # only its trace is asked for

    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_every_call_of_the_store_is_decided(store: GovernedStore, alice: User) -> None:
    """A release of MLflow that brings new calls brings nothing that this table does not know."""
    set_caller(as_(alice))
    public = {
        name for name in dir(SqlAlchemyStore) if not name.startswith("_") and callable(getattr(SqlAlchemyStore, name))
    }

    assert public >= CALLS.keys() | INNER, "the table names what there is"
    for name in public - CALLS.keys() - INNER:
        assert refused(getattr(store, name)).error_code == "PERMISSION_DENIED", name


def test_a_role_that_edits_every_experiment(store: GovernedStore, theirs: Team, alice: User) -> None:
    role = Role.objects.create(name="Platform", permissions=["training.run", "experiments.edit"])
    alice.role_assignments.create(role=role)
    set_caller(as_(alice))

    store.log_param(theirs.run, Param("a", "b"))
    assert refused(lambda: store.delete_experiment(theirs.experiment)).error_code == "PERMISSION_DENIED"
