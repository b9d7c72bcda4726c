"""Decides how long an answer counts that was found out once: who a token stands for, what they may pull, what is live by which release.

The rules are not here: what is kept was answered by `access.authentication`, `serving.queries.resolve` and `serving.pull_documents`, and
is thrown away as soon as the rows that it was read from are not the same. Whenever anybody committed anything (`serving.changes`) those
rows are compared: tokens, accounts, roles, groups, grants, owners, teams, tiers, the access policies in force, aliases, the state
of versions, approvals, lapses and revocations. The access policies are asked for every request, since time, network and rate change
without a commit. So these count on the very next request. What else an approval rests on (signatures, exceptions, conditions with
their dates) is verified anew every `SOUND_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from time import monotonic
from typing import Any, Final

import orjson
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.authentication import authenticate_credentials, token_in
from access.entry.asking import newest_publications
from access.models import RoleAssignment, ServiceToken
from access.permissions import Held, Permission, grants_of_token, permit_at, snapshot
from access.principal import Principal
from access.token_format import prefix_of
from audit.models import Checkpoint
from countersign.proof.manifest import ManifestFile
from foundation.refusals import Conflict, Forbidden, NotFound, Refusal
from registry.models import Alias, ModelVersion, RegisteredModel
from reviews.models import Approval, Revocation
from serving.attestations import current_snapshot
from serving.changes import change_mark
from serving.models import StatusSnapshot
from serving.pull_documents import Standing, ledger_part, pull_document, standing
from serving.queries import Resolved, resolve

SOUND_SECONDS: Final = 2.0
CALLER_SECONDS: Final = 30.0
"""A token is looked up anew this often, so that its last use is known to the minute."""
MAX_KEPT: Final = 10_000
UNVERIFIED: Final = -1

Print = tuple[Any, ...]
Told = Callable[[Principal, Refusal], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: a model's version by alias or by number; `stage` asks for an approval for that stage."""

    model: str
    alias: str = ""
    number: int | None = None
    stage: str = ""


@dataclass(slots=True)
class Caller:
    """Who a credential stands for, until when, and which models they may pull from, by the owner and the team that each had."""

    principal: Principal
    prefix: str
    until: datetime
    seen: Print
    held: Held | None = None
    may_pull: dict[str, Print] = field(default_factory=dict)
    learnt_at: float = 0.0
    generation: int = UNVERIFIED


@dataclass(slots=True)
class Live:
    """A version that may be used, with the document that says so; or the refusal that says why none is."""

    seen: Print
    resolved: Resolved | None = None
    refusal: Refusal | None = None
    standing: Standing | None = None
    etag: str = ""
    document: bytes = b""
    ledger: bytes = b""
    counter: int = 0
    checkpoint: int = 0
    files: Mapping[str, ManifestFile] = field(default_factory=dict)
    learnt_at: float = 0.0
    generation: int = UNVERIFIED

    @property
    def body(self) -> bytes:
        """The pull document."""
        return self.document[:-1] + b',"ledger":' + self.ledger + b"}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was kept about one request and still counts: who asks, and what they get."""

    caller: Caller
    live: Live

    def permit(self, by: Principal) -> None:
        """Raise the refusal of the access policies for this request of the caller: what they ask for changes without a commit."""
        if self.live.resolved is not None:
            resolved = self.live.resolved
            known = replace(by, held=self.caller.held)
            permit_at(known, Permission.PULL_VERSION, resolved.version.model, resolved.stage.name)


class Snapshot:
    """What is known at this moment. `look` and `verdict` belong to one thread, whose connection tells of the commits of all others.

    `clock`: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.generation = 0
        self.counter = 0
        self.checkpoint = 0
        self.note = ""
        self._mark: object = None
        self._marked_by: object = None
        self._callers: dict[str, Caller] = {}
        self._live: dict[Wanted, Live] = {}

    def look(self) -> bool:
        """Find out whether anybody committed anything since the last look; from then on nothing counts before it was compared."""
        mark = change_mark(connection)
        # A new connection of SQLite counts from the beginning: the same number there does not mean that nothing was committed in between.
        if mark == self._mark and connection.connection is self._marked_by:
            return False
        self._mark, self._marked_by = mark, connection.connection
        self.generation += 1
        self.counter = StatusSnapshot.objects.order_by("-counter").values_list("counter", flat=True).first() or 0
        newest = Checkpoint.objects.order_by("-size").values_list("size", "note").first()
        self.checkpoint, self.note = newest or (0, "")
        return True

    def verdict(self, header: str, wanted: Wanted) -> Verdict | None:
        """What is kept for this credential and this version, where all of it still counts; None: it has to be learnt."""
        caller, live = self._callers.get(_secretly(header)), self._live.get(wanted)
        if caller is None or live is None or not self._caller_counts(caller) or not self._counts(live, wanted):
            return None
        if caller.may_pull.get(wanted.model) != live.seen[:1]:
            return None
        return Verdict(caller, live)

    def learn(self, header: str, meta: Mapping[str, Any], wanted: Wanted, told: Told) -> Live:
        """Ask the rules, in any thread, and keep what they say; also that nothing is live or approved, which is not about the caller.

        What they say against the caller is never kept: it is raised, once `told` has heard it.
        """
        asked_at = self._clock()
        caller = learn_caller(header, meta)
        try:
            live = learn_live(wanted, caller.principal)
        except (Forbidden, NotFound) as refusal:
            told(caller.principal, refusal)
            raise
        caller.learnt_at = live.learnt_at = asked_at
        key = _secretly(header)
        known = self._callers.get(key)
        if known is not None and known.seen == caller.seen:
            caller.may_pull = known.may_pull
        caller.may_pull[wanted.model] = live.seen[:1]
        for kept in (self._callers, self._live):
            if len(kept) >= MAX_KEPT:
                kept.clear()
        self._callers[key] = caller
        self._live[wanted] = live
        return live

    def _caller_counts(self, caller: Caller) -> bool:
        if caller.until <= timezone.now() or self._clock() - caller.learnt_at > CALLER_SECONDS:
            return False
        if caller.generation != self.generation:
            if print_of_caller(caller.prefix) != caller.seen:
                return False
            caller.generation = self.generation
        return True

    def _counts(self, live: Live, wanted: Wanted) -> bool:
        if live.resolved is not None and live.resolved.approval.pulls_until <= timezone.now():
            return False
        if live.resolved is not None and self._clock() - live.learnt_at > SOUND_SECONDS:
            return False  # also where nothing was committed: an exception, a condition or a delegation ends by its date alone
        if live.generation == self.generation:
            return True
        if print_of_live(wanted) != live.seen:
            return False
        if live.resolved is not None and not self._brought_up_to_date(live):
            return False
        live.generation = self.generation
        return True

    def _brought_up_to_date(self, live: Live) -> bool:
        """Whether the document says the newest status; its ledger part follows the newest checkpoint here."""
        if live.standing is None or live.counter != self.counter:
            return False
        if live.checkpoint != self.checkpoint:
            if live.standing.entry is None:
                return False  # it may be logged by now, which is for `learn` to find
            live.ledger = orjson.dumps(ledger_part(live.standing.entry))
            live.checkpoint = self.checkpoint
        return True


def learn_caller(header: str, meta: Mapping[str, Any]) -> Caller:
    """Who this credential stands for; raises `Unauthenticated`, which is on record."""
    prefix = prefix_of(token_in(header)) or ""
    seen = print_of_caller(prefix)  # read first: what changes in between does not fit it then
    principal = authenticate_credentials(header, meta)
    until = ServiceToken.objects.filter(prefix=prefix).values_list("expires_at", flat=True).first()
    return Caller(principal, prefix, until or timezone.now(), seen, held=snapshot(principal).held)


def learn_live(wanted: Wanted, by: Principal) -> Live:
    """What `by` gets for what they want; raises what `serving.queries.resolve` raises about the caller.

    A refusal about the version (nothing live, not approved) is in what is returned.
    """
    seen = print_of_live(wanted)
    try:
        resolved = resolve(wanted.model, alias=wanted.alias, version=wanted.number, stage_name=wanted.stage, by=by)
    except (Conflict, NotFound) as refusal:
        if refusal.code == "model-unknown":
            raise
        current_snapshot()  # whoever watches is told the counter of the status that says so
        return Live(seen, refusal=refusal)
    now = standing(resolved)
    document = pull_document(now)
    ledger = document.pop("ledger")
    checkpoint = Checkpoint.objects.order_by("-size").values_list("size", "note").first() or (0, None)
    return Live(
        seen,
        resolved=resolved,
        standing=now,
        etag=now.etag,
        document=orjson.dumps(document),
        ledger=orjson.dumps(ledger),
        counter=now.counter,
        checkpoint=checkpoint[0] if checkpoint[1] == ledger["checkpoint"] else UNVERIFIED,
        files={file.path: file for file in resolved.version.files},
    )


def print_of_caller(prefix: str) -> Print:
    """Every row by which the token of this prefix is somebody and may do something; its last use is left out."""
    grants = (_USER_GRANTS.rows(prefix), _GROUP_GRANTS.rows(prefix))
    return (_TOKEN.rows(prefix), _ROLES.rows(prefix), _MEMBERSHIPS.rows(prefix), *grants, _ACCESS_POLICIES.rows())


def print_of_live(wanted: Wanted) -> Print:
    """Every row by which this version is live and not withdrawn; the first part is the model with its owner and team."""
    model = _MODEL.rows(wanted.model)
    if wanted.number is None:
        named = (_ALIAS.rows(wanted.model, wanted.alias), _ALIAS_APPROVALS.rows(wanted.model, wanted.alias))
        return (model, *named, _ALIAS_REVOCATIONS.rows(wanted.model, wanted.alias))
    numbered = (_VERSION.rows(wanted.model, wanted.number), _APPROVALS.rows(wanted.model, wanted.number))
    return (model, *numbered, _REVOCATIONS.rows(wanted.model, wanted.number))


@dataclass(frozen=True, slots=True)
class _Statement:
    """A query of the ORM, compiled once: building one takes ten times as long as running it. `marks` stand where arguments go."""

    build: Callable[..., QuerySet[Any, Any]]
    marks: tuple[Any, ...]
    compiled: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def rows(self, *arguments: Any) -> Print:
        if not self.compiled:
            sql, parameters = self.build(*self.marks).query.sql_with_params()
            self.compiled.append((sql, tuple(parameters)))
        sql, parameters = self.compiled[0]
        filled = dict(zip(self.marks, arguments, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(sql, [filled.get(one, one) for one in parameters])
            return tuple(cursor.fetchall())


def _secretly(header: str) -> str:
    """Under which name a credential is kept: nothing that could be sent."""
    return sha256(header.encode()).hexdigest()


def _behind(name: str) -> Q:
    """Of the version behind an alias of this name, or of the stage of this name."""
    return Q(version__aliases__name=name) | Q(version__aliases__stage__name=name)


def _approvals(*which: Q, **of: Any) -> QuerySet[Any, Any]:
    return (
        Approval.objects.filter(*which, **of)
        .order_by("pk")
        .values_list("pk", "stage", "promotion", "revocation", "pulls_until", "lapse")
    )


def _revocations(*which: Q, **of: Any) -> QuerySet[Any, Any]:
    return Revocation.objects.filter(*which, **of).order_by("pk").values_list("pk")


_TEXT, _OTHER_TEXT, _NUMBER = "\x1afirst", "\x1asecond", 999_999_937
_VERSION_FIELDS: Final = ("pk", "state", "digest")

_TOKEN: Final = _Statement(
    lambda prefix: (
        ServiceToken.objects.filter(prefix=prefix)
        .order_by()
        .values_list(
            "digest", "scopes", "objects_scope", "expires_at", "revoked_at", "user", "user__is_active", "user__kind"
        )
    ),
    (_TEXT,),
)
_ROLES: Final = _Statement(
    lambda prefix: (
        RoleAssignment.objects.filter(Q(user__tokens__prefix=prefix) | Q(group__user__tokens__prefix=prefix))
        .order_by("pk")
        .values_list("pk", "group", "role", "role__name", "role__permissions", "team")
    ),
    (_TEXT,),
)
_MEMBERSHIPS: Final = _Statement(
    lambda prefix: Group.objects.filter(user__tokens__prefix=prefix).order_by("pk").values_list("pk", "name"), (_TEXT,)
)
_ACCESS_POLICIES: Final = _Statement(newest_publications, ())
_USER_GRANTS: Final = _Statement(lambda prefix: grants_of_token(RegisteredModel, prefix)[0], (_TEXT,))
_GROUP_GRANTS: Final = _Statement(lambda prefix: grants_of_token(RegisteredModel, prefix)[1], (_TEXT,))
_MODEL: Final = _Statement(
    lambda name: (
        RegisteredModel.objects.filter(name=name).order_by().values_list("pk", "owner", "team", "team__name", "tier")
    ),
    (_TEXT,),
)
_ALIAS: Final = _Statement(
    lambda model, alias: (
        Alias.objects.filter(Q(name=alias) | Q(stage__name=alias), model__name=model)
        .order_by("pk")
        .values_list("pk", "stage", "promotion", *(f"version__{one}" for one in _VERSION_FIELDS))
    ),
    (_TEXT, _OTHER_TEXT),
)
_ALIAS_APPROVALS: Final = _Statement(
    lambda model, alias: _approvals(_behind(alias), version__aliases__model__name=model),
    (_TEXT, _OTHER_TEXT),
)
_ALIAS_REVOCATIONS: Final = _Statement(
    lambda model, alias: _revocations(_behind(alias), version__aliases__model__name=model),
    (_TEXT, _OTHER_TEXT),
)
_VERSION: Final = _Statement(
    lambda model, number: (
        ModelVersion.objects.filter(model__name=model, number=number).order_by().values_list(*_VERSION_FIELDS)
    ),
    (_TEXT, _NUMBER),
)
_APPROVALS: Final = _Statement(
    lambda model, number: _approvals(version__model__name=model, version__number=number),
    (_TEXT, _NUMBER),
)
_REVOCATIONS: Final = _Statement(
    lambda model, number: _revocations(version__model__name=model, version__number=number),
    (_TEXT, _NUMBER),
)
