"""Decides who may read, write or manage which experiment, and so every run, metric, file, logged model and trace in it.

Two questions, both to be answered yes. Whether somebody may use tracking at all: whoever trains or registers logs, whoever sees
models reads. And whether this experiment is theirs: they own it, it was shared with them or with a group of theirs, it is open to all,
or a role gives them every experiment. What somebody may not read is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from access.permissions import Permission, snapshot, visible_to
from access.principal import Principal
from foundation.refusals import Forbidden, NotFound
from registry.models import RegisteredModel
from serving.tracking_models import Experiment, ExperimentQuerySet, Level, Others


def may_log(by: Principal) -> bool:
    """Whether `by` may write runs at all: who trains, or registers versions of some model."""
    by = snapshot(by)
    if by.allows(Permission.RUN_TRAINING) or by.allows(Permission.REGISTER_VERSION):
        return True
    return visible_to(RegisteredModel.objects.all(), by, Permission.REGISTER_VERSION).exists()


def may_look(by: Principal) -> bool:
    """Whether `by` may read what runs measured at all: who logs, or sees some model."""
    by = snapshot(by)
    if by.allows(Permission.SEE_MODEL) or may_log(by):
        return True
    return visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL).exists()


def everything(by: Principal, level: Level) -> bool:
    """Whether a role gives `by` this level on every experiment."""
    if level is Level.MANAGE:
        return False
    return by.allows(Permission.EDIT_EXPERIMENTS) or (level is Level.READ and by.allows(Permission.SEE_EXPERIMENTS))


def experiments(by: Principal, level: Level) -> ExperimentQuerySet:
    """The experiments that `by` has at least `level` on; one statement besides what `by` holds."""
    rows = Experiment.objects.all()
    by = snapshot(by)
    if by.user is None or not by.user.is_active:
        return rows.none()
    if everything(by, level):
        return rows
    enough = [one.value for one in Level if level in one.includes]
    shared = Q(grants__user=by.user, grants__level__in=enough) | Q(
        grants__group__user=by.user, grants__level__in=enough
    )
    return rows.filter(Q(owner=by.user) | shared | _open(level)).distinct()


def _open(level: Level) -> Q:
    """What everybody has. An experiment that nobody owns is looked after by all who log to it, as before it could be owned."""
    if level is Level.MANAGE:
        return Q(others=Others.WRITE, owner=None)
    wide = [Others.WRITE] if level is Level.WRITE else [Others.READ, Others.WRITE]
    return Q(others__in=wide)


def numbers(by: Principal, level: Level) -> frozenset[int] | None:
    """MLflow's numbers of `experiments`; None where a role gives every one, those without a row included."""
    by = snapshot(by)
    if everything(by, level):
        return None
    return frozenset(experiments(by, level).values_list("experiment_id", flat=True))


def allows(by: Principal, level: Level, experiment_id: int) -> bool:
    """Whether `by` has `level` on the experiment with this number."""
    by = snapshot(by)
    return everything(by, level) or experiments(by, level).filter(pk=experiment_id).exists()


def check(by: Principal, level: Level, experiment_ids: Iterable[int]) -> None:
    """Return when `by` has `level` on each; raises `Forbidden`, with who can change it. For experiments that they may read."""
    by = snapshot(by)
    for experiment_id in experiment_ids:
        if not allows(by, level, experiment_id):
            raise Forbidden(refused(by, level, experiment_id), code="experiment")


def refused(by: Principal, level: Level, experiment_id: int) -> str:
    """The sentence for somebody who reads the experiment and may not do more."""
    experiment = Experiment.objects.select_related("owner").filter(pk=experiment_id).first()
    name = f"“{experiment.name}”" if experiment else str(experiment_id)
    who = f"{experiment.owner}, who owns it," if experiment and experiment.owner else "An administrator"
    return f"{by.name} may not write to the experiment {name} ({level.label}). {who} can share it on the portal."


def may_share(by: Principal, experiment: Experiment) -> bool:
    """Whether `by` may decide who else has it: a person who owns or manages it, or who manages people."""
    if by.user is None or not by.user.is_person:
        return False
    if by.allows(Permission.MANAGE_PEOPLE) or experiment.owner_id == by.user.pk:
        return True
    return _managed(by).filter(pk=experiment.pk).exists()


def listed(by: Principal) -> ExperimentQuerySet:
    """The experiments that the portal names to `by`: those that they read, and all to who manages people, so that none is orphaned."""
    if by.allows(Permission.MANAGE_PEOPLE):
        return Experiment.objects.all()
    return experiments(by, Level.READ) if may_look(by) else Experiment.objects.filter(owner=by.user)


def find_listed(experiment_id: int, by: Principal) -> Experiment:
    """The experiment, as far as the portal names it to `by`; raises `NotFound`."""
    found = listed(by).select_related("owner").filter(pk=experiment_id).first()
    if found is None:
        raise NotFound(f"There is no experiment {experiment_id}.", code="experiment-unknown")
    return found


def check_path(path: str, by: Principal, level: Level) -> None:
    """Return when `by` has `level` on the experiment in whose folder an artifact path lies; raises `NotFound` or `Forbidden`.

    A path in nobody's folder, and the folder of all folders, is for those who have every experiment.
    """
    by = snapshot(by)
    if everything(by, level):
        return
    found = list(Experiment.objects.containing(path).values_list("pk", flat=True)) if path else []
    readable = experiments(by, Level.READ).filter(pk__in=found).count() == len(found)
    if not found or not readable:
        raise NotFound(f"There is nothing at {path!r}.", code="path-unknown")
    check(by, level, found)


def _managed(by: Principal) -> ExperimentQuerySet:
    mine = Q(grants__user=by.user) | Q(grants__group__user=by.user)
    return Experiment.objects.filter(mine, grants__level=Level.MANAGE)
