"""Every write about whose an experiment is and who else has it. What runs hold is MLflow's; these rows say who may touch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import Group

from access.holders import holder_fields, holder_ref, is_part_of
from access.models import User
from access.permissions import Permission
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from serving.tracking_access import may_share
from serving.tracking_models import Experiment, ExperimentGrant, Level, Others

MOST_NAMED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """An experiment as MLflow's tables have it."""

    experiment_id: int
    name: str
    folder: str
    deleted: bool = False


@governed(Action.EXPERIMENT_CREATE)
def record_experiment(known: Known, *, others: Others | None = None, by: Principal) -> Experiment:
    """Whoever made it owns it; for a service that is the person who answers for it, and the service keeps managing it.

    `others`: what everybody else may; None: as the installation has it for new experiments.
    """
    if by.user is None:
        raise Forbidden("Somebody has to be signed in to create an experiment, so that it has an owner.")
    if others is not None and others not in Others.values:
        raise Invalid(f"Others may have {', '.join(Others.values)}; not {str(others)[:20]!r}.", code="others")
    experiment = Experiment.objects.create(
        experiment_id=known.experiment_id,
        name=known.name,
        folder=known.folder,
        owner=by.user.owner or by.user,
        created_by=by.user,
        others=others or Others(settings.NEW_EXPERIMENTS),
    )
    if not by.user.is_person:
        ExperimentGrant.objects.create(experiment=experiment, user=by.user, level=Level.MANAGE, created_by=by.user)
    append(
        Action.EXPERIMENT_CREATE,
        by=by,
        obj=experiment.ledger_ref(),
        after={"owner": str(experiment.owner.uuid) if experiment.owner else "", "others": str(experiment.others)},
    )
    return experiment


@governed(Action.EXPERIMENT_UPDATE)
def note_experiment(experiment: Experiment, *, name: str = "", deleted: bool | None = None, by: Principal) -> None:
    """Keep what MLflow was told of an experiment: its new name, or that it was put away or restored. Who may was asked before."""
    experiment = Experiment.objects.locked(experiment.pk)
    before: dict[str, Any] = {"name": experiment.name, "deleted": experiment.deleted}
    experiment.name = name or experiment.name
    experiment.deleted = experiment.deleted if deleted is None else deleted
    experiment.save(update_fields=["name", "deleted"])
    append(
        Action.EXPERIMENT_UPDATE,
        by=by,
        obj=experiment.ledger_ref(),
        before=before,
        after={"name": experiment.name, "deleted": experiment.deleted},
    )


@governed(Action.EXPERIMENT_SHARE)
def share_experiment(experiment: Experiment, level: Level, *, to: User | Group, by: Principal) -> None:
    """Give one account or group a level on one experiment, in place of the one they had."""
    experiment = _held(experiment, by)
    _refuse_own(experiment, to, by)
    if by.user is None:
        raise Forbidden("Somebody has to be signed in to share an experiment.")
    if isinstance(to, User) and not to.is_active:
        raise Conflict(f"{to} is deactivated; reactivate the account first.", code="inactive")
    holder = holder_fields(to)
    had = ExperimentGrant.objects.filter(experiment=experiment, **holder).first()
    if had is not None and had.level == level:
        raise Conflict(f"{to} may {Level(level).label} already.", code="shared-already")
    if had is not None:
        had.delete()
    ExperimentGrant.objects.create(experiment=experiment, level=level, created_by=by.user, **holder)
    append(
        Action.EXPERIMENT_SHARE,
        by=by,
        obj=experiment.ledger_ref(),
        before={"level": had.level} if had else {},
        after={"level": str(level), "holder": holder_ref(to)},
    )


@governed(Action.EXPERIMENT_UNSHARE)
def unshare_experiment(experiment: Experiment, *, to: User | Group, by: Principal) -> None:
    """Take a level back; their next request knows. What is not shared with them is a `Conflict`."""
    experiment = _held(experiment, by)
    grant = ExperimentGrant.objects.filter(experiment=experiment, **holder_fields(to)).first()
    if grant is None:
        raise Conflict(f"{experiment} is not shared with {to}; there is nothing to take back.", code="not-shared")
    level = grant.level
    grant.delete()
    append(
        Action.EXPERIMENT_UNSHARE,
        by=by,
        obj=experiment.ledger_ref(),
        before={"level": level, "holder": holder_ref(to)},
    )


@governed(Action.EXPERIMENT_OPEN)
def open_experiment(experiment: Experiment, others: Others, *, by: Principal) -> None:
    """Say what those may whom it is not shared with; closing is the same action."""
    experiment = _held(experiment, by)
    if experiment.others == others:
        raise Conflict("That is how it stands already.", code="unchanged")
    before = experiment.others
    experiment.others = others
    experiment.save(update_fields=["others"])
    append(
        Action.EXPERIMENT_OPEN,
        by=by,
        obj=experiment.ledger_ref(),
        before={"others": before},
        after={"others": str(others)},
    )


@governed(Action.EXPERIMENT_GIVE)
def give_experiment(experiment: Experiment, *, to: User, by: Principal) -> None:
    """Make another person its owner: of one that nobody owns, or whose owner moves on."""
    experiment = _held(experiment, by)
    if not to.is_person or not to.is_active:
        raise Invalid("An owner is an active person.", errors={"holder": "Choose a person."})
    _refuse_own(experiment, to, by)
    if experiment.owner_id == to.pk:
        raise Conflict(f"{to} owns it already.", code="unchanged")
    before = str(experiment.owner.uuid) if experiment.owner else ""
    experiment.owner = to
    experiment.save(update_fields=["owner"])
    append(
        Action.EXPERIMENT_GIVE,
        by=by,
        obj=experiment.ledger_ref(),
        before={"owner": before},
        after={"owner": str(to.uuid)},
    )


@governed(Action.EXPERIMENT_ADOPT)
def adopt_experiments(found: Sequence[Known], *, by: Principal) -> None:
    """Rows for experiments of MLflow's that have none. By its server, when it starts.

    Where there is no row at all, this release meets the experiments of an older one, or MLflow's own first: those stay open to
    everybody who logs, as they were. Later, a missing row is a fault (the server died between two databases): closed, without an owner.
    """
    others = Others.NOTHING if Experiment.objects.exists() else Others.WRITE
    Experiment.objects.bulk_create(
        Experiment(
            experiment_id=one.experiment_id, name=one.name, folder=one.folder, others=others, deleted=one.deleted
        )
        for one in found
    )
    append(
        Action.EXPERIMENT_ADOPT,
        by=by,
        obj=Obj("experiment", ""),
        after={"experiments": [str(one.experiment_id) for one in found[:MOST_NAMED]], "others": str(others)},
    )


def _held(experiment: Experiment, by: Principal) -> Experiment:
    """The row, locked, for whoever may say who has it."""
    experiment = Experiment.objects.locked(experiment.pk)
    if not may_share(by, experiment):
        owner = str(experiment.owner) if experiment.owner else "an administrator"
        raise Forbidden(
            f"{by.name} may not decide who has the experiment {experiment}. Ask {owner}: its owner, whoever manages it, and "
            "administrators may.",
            extra={"permission": Permission.MANAGE_PEOPLE.value},
        )
    return experiment


def _refuse_own(experiment: Experiment, to: User | Group, by: Principal) -> None:
    """An administrator shares what is not theirs with others, not with themselves; the owner has everything anyway."""
    if by.user is None or experiment.owner_id == by.user.pk:
        return
    if is_part_of(by.user, to):
        raise Conflict(
            "Nobody gives an experiment of somebody else to themselves, to a service of theirs or to a group they are in. Ask its owner or "
            "another administrator.",
            code="own-access",
        )
