"""Asks the access policies in force about somebody at the door: for one model with the rule that decided, for a list as a condition of SQL.

Which set is in force is read with what the person holds (`permissions._held`), so a publication counts on the next question anywhere;
here each set is compiled once per process. `permissions` calls this after it found that the permission is held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, partial, reduce
from operator import and_, or_
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.contrib.auth.models import Group
from django.db.models import F, Model, Q, QuerySet, Subquery, Value
from django.db.models.functions import Substr
from django.db.models.lookups import Exact
from django.utils import timezone

from access.catalogue import Permission
from access.entry.deciding import Circumstances, Decision, PolicyInForce, Rulebook, Subject
from access.entry.documents import Doing, parse
from access.entry.models import AccessPolicyPublication, AccessPolicyVersion
from access.entry.places import EVERYWHERE, NOWHERE, Joined, Named, Not, Of, Owned, Place, Where, either
from access.entry.rate import requests_in_the_last_minute

if TYPE_CHECKING:
    from access.models import User
    from access.permissions import Held
    from access.principal import Principal

GOVERNED: Final = {
    Permission.SEE_MODEL: Doing.READ,
    Permission.PULL_VERSION: Doing.PULL,
    Permission.SCORE_MODEL: Doing.SCORE,
}
"""The permissions that access policies narrow. None of them is about people, roles or policies, so a bad policy can always be replaced."""
MOST_KEPT: Final = 8
_kept: Final[dict[str, Rulebook]] = {}
_loading: Final = Lock()


def newest_publications() -> QuerySet[AccessPolicyPublication, Any]:
    """One row with the digest of the set in force: to see whether another was published."""
    return AccessPolicyPublication.objects.order_by("-pk").values_list("set_digest")[:1]


def newest_set() -> Subquery:
    """The digest of the set in force, as a column beside something else that is read."""
    return Subquery(newest_publications())


def rulebook(digest: str) -> Rulebook:
    """The compiled set of this digest; loaded once, or anew where another was published since `digest` was read."""
    known = _kept.get(digest)
    if known is not None:
        return known
    with _loading:
        loaded = Rulebook(policies_in_force())
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[loaded.digest] = loaded
    return loaded


def policies_in_force() -> list[PolicyInForce]:
    """The texts in force, by name."""
    return [
        PolicyInForce(version.policy.name, version.number, parse(version.content))
        for version in AccessPolicyVersion.objects.in_force()
    ]


def decide(by: Principal, held: Held, permission: Permission, obj: Model, *, stage: str | None = None) -> Decision:
    """Whether the policies let `by` use a governed permission on a registered model.

    `stage`: what is pulled from or scored at; None where that is not known yet, which asks whether any stage would do.
    """
    return _decided(by, held, permission, obj, circumstances_of(by), stage)


def decide_on_other_terms(by: Principal, held: Held, permission: Permission, obj: Model) -> Decision:
    """The same under the right circumstances: whether somebody who was refused could come again and be let in."""
    return _decided(by, held, permission, obj, None, None)


def everywhere(by: Principal, held: Held, permission: Permission) -> bool:
    """Whether the policies keep `by` from no model at all."""
    return _where(by, held, permission) == EVERYWHERE


def condition(by: Principal, held: Held, permission: Permission, step: str) -> Q | None:
    """The condition on rows whose registered model, at the path `step`, `by` is let in to; None: no condition is needed."""
    where = _where(by, held, permission)
    return None if where == EVERYWHERE else as_condition(where, by.user.pk if by.user else None, step)


def as_condition(where: Where, user: int | None, step: str = "") -> Q:
    """The formula as a condition of SQL on rows whose registered model is at the path `step`."""
    if where == NOWHERE:
        return Q(pk__in=[])
    match where:
        case Named(patterns):
            return _any(_named(one, step) for one in patterns)
        case Of("tier", values):
            return Q(**{f"{step}tier__in": values})
        case Of(_, values):
            named = Q(**{f"{step}team__name__in": [one for one in values if one]})
            return named | Q(**{f"{step}team": None}) if "" in values else named
        case Owned(wanted):
            owned = Q(**{f"{step}owner": user})
            return owned if wanted else ~owned
        case Not(part):
            return ~as_condition(part, user, step)
        case Joined(how, parts):
            return reduce(and_ if how == "and" else or_, [as_condition(part, user, step) for part in parts])


def subject_of(user: User, book: Rulebook, kept: dict[str, Any]) -> Subject:
    """`user` as rules see them; roles and groups are read where a rule asks for them, once for as long as `kept` lives."""
    known: Subject | None = kept.get("subject")
    if known is None:
        reads = book.reads
        roles = _roles_of(user) if "subject.roles" in reads else ()
        groups = tuple(user.groups.order_by("name").values_list("name", flat=True)) if "subject.groups" in reads else ()
        known = kept["subject"] = Subject(user.kind, user.username, roles, groups)
    return known


def circumstances_of(by: Principal) -> Circumstances | None:
    """What is known of this request; None for somebody who is not at the door (a worker, or whoever is asked about)."""
    user = by.user
    if not by.strength or user is None:
        return None
    return Circumstances(
        by.strength, by.purpose, by.ip, timezone.now(), cache(partial(requests_in_the_last_minute, user))
    )


def place_of(obj: Model, user: User, book: Rulebook) -> Place:
    """What of a registered model can decide; its team is read where a policy asks for it."""
    model: Any = obj
    team = model.team.name if model.team_id is not None and book.asks_teams else ""
    return Place(model.name, model.tier, team, owned=model.owner_id == user.pk)


def stages() -> tuple[str, ...]:
    """The names of the stages, and the empty one of what is at none."""
    return ("", *apps.get_model("registry", "Stage")._default_manager.values_list("name", flat=True))


def _decided(
    by: Principal,
    held: Held,
    permission: Permission,
    obj: Model,
    circumstances: Circumstances | None,
    stage: str | None,
) -> Decision:
    user, doing, book = by.user, GOVERNED[permission], rulebook(held.policies)
    if user is None:
        raise TypeError("Parts of the installation are not at the door.")
    subject, place = subject_of(user, book, held.kept), place_of(obj, user, book)
    asked = (stage,) if stage is not None else _stages_asked(book, doing)
    found = [book.decide(subject, doing, place, circumstances, stage=one) for one in asked]
    return next((one for one in found if one.allowed), found[0])


def _where(by: Principal, held: Held, permission: Permission) -> Where:
    user, doing, book = by.user, GOVERNED[permission], rulebook(held.policies)
    if user is None:
        return EVERYWHERE
    subject, circumstances = subject_of(user, book, held.kept), circumstances_of(by)
    teams: Collection[str] = _teams() if book.asks_team(doing) else ()
    return either(
        book.where(subject, doing, circumstances, stage=stage, teams=teams) for stage in _stages_asked(book, doing)
    )


def _stages_asked(book: Rulebook, doing: Doing) -> tuple[str, ...]:
    return stages() if book.asks_stage(doing) else ("",)


def _teams() -> list[str]:
    return list(Group.objects.values_list("name", flat=True))


def _roles_of(user: User) -> tuple[str, ...]:
    role = apps.get_model("access", "Role")._default_manager
    held = role.filter(Q(assignments__user=user.pk) | Q(assignments__group__user=user.pk))
    return tuple(held.order_by("name").distinct().values_list("name", flat=True))


def _named(pattern: str, step: str) -> Q:
    if not pattern.endswith("*"):
        return Q(**{f"{step}name": pattern})
    beginning = pattern[:-1]
    # Not LIKE, which ignores case on SQLite, so that a list says what a detail says.
    return Q(Exact(Substr(F(f"{step}name"), 1, len(beginning)), Value(beginning)))


def _any(parts: Iterable[Q]) -> Q:
    return reduce(or_, parts)
