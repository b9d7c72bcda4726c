"""Decides what the ledger says about one moment: which version a stage had, on whose authority, who could pull it and who did.

Pure: from entries in the ledger's order to an answer, with no look at any table as it is today. Accounts appear under their
identifiers only, so that an answer stays the same when somebody is renamed or forgotten. Where entries do not suffice, the
answer says so in `unknown` and guesses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from access.catalogue import OWNER_MAY, PEOPLE_ONLY, Permission
from audit.entries import Entry
from audit.events import Action

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_APPROVED: Final = ("approved", "approved_with_conditions")
CANDIDATES: Final = (Permission.SEE_MODEL, Permission.REGISTER_VERSION)
"""Whoever holds both works on candidates, and downloads any admitted version (`serving.downloads`)."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry at its place in the ledger."""

    seq: int
    entry: Entry

    @property
    def before(self) -> Mapping[str, Any]:
        """The changed fields as they were; empty where nothing was recorded."""
        return self.entry.before if isinstance(self.entry.before, dict) else {}

    @property
    def after(self) -> Mapping[str, Any]:
        """The changed fields as they became; empty where nothing was recorded."""
        return self.entry.after if isinstance(self.entry.after, dict) else {}

    @property
    def who(self) -> str:
        """Who did it, as `kind:identifier`."""
        return f"{self.entry.actor_kind}:{self.entry.actor_id}"

    def told(self, **more: Any) -> Json:
        """Who did it, when, and where it stands, for an answer."""
        return {"by": self.who, "at": written(self.entry.t), "entry": self.seq, **more}


def written(t: int) -> str:
    """A time of the ledger (µs since 1970) in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=t)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Holding:
    """That a version held the stage: from the entry that put it there, until the one that ended that (None: at the moment asked about)."""

    version: int
    set_by: Line
    basis: str
    ended_by: Line | None = None

    def told(self) -> Json:
        """As the answer's history has it."""
        end = self.ended_by
        return {
            "version": self.version,
            "from": written(self.set_by.entry.t),
            "until": written(end.entry.t) if end else None,
            "moved_by": self.set_by.who,
            "ended_by": end.who if end else None,
            "entries": [self.set_by.seq, *([end.seq] if end else [])],
        }


def holdings(moves: Iterable[Line], promoted: Mapping[str, Line], *, stage: str, alias: str) -> list[Holding]:
    """Which version held the stage when, oldest first, from the entries that moved the model's aliases.

    `promoted`: the entries of decisions by the promotion that they name, which tell the stage where an old entry does not.
    """
    found = list[Holding]()
    for line in moves:
        last = found[-1] if found and found[-1].ended_by is None else None
        if line.entry.action == Action.ALIAS_SET and _stage_of(line, promoted) == stage:
            version = line.after.get("version", last.version if last else None)
            if last is not None:
                found[-1] = Holding(last.version, last.set_by, last.basis, line)
            if isinstance(version, int):
                found.append(Holding(version, line, str(line.after.get("basis", ""))))
        elif line.entry.action == Action.ALIAS_DELETE and last is not None and _drops(line, stage, alias):
            found[-1] = Holding(last.version, last.set_by, last.basis, line)
    return found


def _stage_of(line: Line, promoted: Mapping[str, Line]) -> str:
    if "stage" in line.after:
        return str(line.after["stage"])
    decision = promoted.get(str(line.after.get("promotion", "")))
    return str(decision.after.get("stage", "")) if decision else ""


def _drops(line: Line, stage: str, alias: str) -> bool:
    return bool(line.before["stage"] == stage if "stage" in line.before else line.before.get("alias") == alias)


@dataclass(slots=True)
class Access:
    """What everybody held, from the entries that gave and took it, in the ledger's order."""

    roles: dict[tuple[str, str, str], Line] = field(default_factory=dict)
    permits: dict[str, Line] = field(default_factory=dict)
    team: Line | None = None
    belongs_to: str = ""
    grants: dict[tuple[str, str], Line] = field(default_factory=dict)
    members: dict[str, dict[str, Line]] = field(default_factory=dict)
    tokens: dict[str, Line] = field(default_factory=dict)
    inactive: set[str] = field(default_factory=set)
    owner: Line | None = None

    @classmethod
    def after(cls, lines: Iterable[Line]) -> Access:
        """What is held once all of these have happened."""
        held = cls()
        for line in lines:
            held._take(line)
        return held

    def _take(self, line: Line) -> None:
        entry, before, after = line.entry, line.before, line.after
        match entry.action:
            case Action.ROLE_ASSIGN:
                self.roles[entry.obj_name, str(after.get("holder", "")), str(after.get("team", ""))] = line
            case Action.ROLE_WITHDRAW:
                self.roles.pop((entry.obj_name, str(before.get("holder", "")), str(before.get("team", ""))), None)
            case Action.ROLE_UPDATE if "permissions" in after:
                self.permits[entry.obj_name] = line
            case Action.MODEL_CHANGE_TEAM:
                self.team, self.belongs_to = line, str(after.get("team", ""))
            case Action.GROUP_RENAME:
                self._rename(str(before["name"]), str(after["name"]))
            case Action.ACCESS_GRANT:
                self.grants[str(after.get("permission", "")), str(after.get("holder", ""))] = line
            case Action.ACCESS_WITHDRAW:
                self.grants.pop((str(before.get("permission", "")), str(before.get("holder", ""))), None)
            case Action.GROUP_ADD:
                self.members.setdefault(entry.obj_name, {})[f"person:{after.get('member', '')}"] = line
            case Action.GROUP_REMOVE:
                self.members.get(entry.obj_name, {}).pop(f"person:{before.get('member', '')}", None)
            case Action.TOKEN_ISSUE:
                self.tokens[entry.obj_id] = line
            case Action.TOKEN_REVOKE:
                self.tokens.pop(entry.obj_id, None)
            case Action.PERSON_DEACTIVATE:
                self.inactive.add(entry.obj_id)
                for prefix in after.get("revoked_tokens", []):
                    self.tokens.pop(str(prefix), None)
            case Action.PERSON_REACTIVATE:
                self.inactive.discard(entry.obj_id)
            case Action.MODEL_CREATE | Action.MODEL_UPDATE if "owner" in after:
                self.owner = line
            case _:
                pass

    def _rename(self, before: str, after: str) -> None:
        """A group goes on under another name, as holder, as team and with its members."""
        old, new = f"group:{before}", f"group:{after}"
        self.roles = {
            (role, new if holder == old else holder, after if team == before else team): line
            for (role, holder, team), line in self.roles.items()
        }
        self.grants = {
            (permission, new if holder == old else holder): line for (permission, holder), line in self.grants.items()
        }
        self.members[after] = self.members.pop(before, {})
        self.belongs_to = after if self.belongs_to == before else self.belongs_to

    def _reaches(self, team: str, permission: Permission) -> bool:
        """Whether a role on the models of this team (empty: everything) counts on the model."""
        return not team or (permission.on_models and self.belongs_to == team)

    def holders(self, permission: Permission) -> dict[str, list[Json]]:
        """Each active account that held the permission on the model, with everything that gave it."""
        found = dict[str, list[Json]]()
        for (role, holder, team), line in self.roles.items():
            edited = self.permits.get(role)
            says = edited if edited is not None and edited.seq > line.seq else line
            if permission in says.after.get("permissions", ()) and self._reaches(team, permission):
                entries = sorted({line.seq, says.seq, *([self.team.seq] if team and self.team else [])})
                self._spread(found, holder, {"role": role, **({"team": team} if team else {}), "entries": entries})
        for (granted, holder), line in self.grants.items():
            if granted == permission:
                self._spread(found, holder, {"grant": granted, "entries": [line.seq]})
        if self.owner is not None and permission in OWNER_MAY:
            self._spread(found, f"person:{self.owner.after['owner']}", {"owner": True, "entries": [self.owner.seq]})
        if permission in PEOPLE_ONLY:
            found = {account: ways for account, ways in found.items() if account.startswith("person:")}
        return found

    def _spread(self, found: dict[str, list[Json]], holder: str, way: Json) -> None:
        kind, _, name = holder.partition(":")
        if kind != "group":
            self._add(found, holder, way)
            return
        for account, joined in self.members.get(name, {}).items():
            self._add(found, account, way | {"group": name, "entries": [*way["entries"], joined.seq]})

    def _add(self, found: dict[str, list[Json]], account: str, way: Json) -> None:
        if account.partition(":")[2] not in self.inactive:
            found.setdefault(account, []).append(way)

    def tokens_of(self, account: str, needed: Iterable[Permission], model: str, t: int) -> list[Json]:
        """The service account's credentials that were in force and reached that far."""
        identity, scopes = account.partition(":")[2], set(needed)
        return [
            {"token": prefix, "name": line.entry.obj_name, "expires": line.after["expires"], "entry": line.seq}
            for prefix, line in sorted(self.tokens.items())
            if line.after.get("account") == identity
            and scopes <= set(line.after.get("scopes", ()))
            and (not line.after.get("models") or model in line.after["models"])
            and _microseconds(line.after["expires"]) > t
        ]

    def accounts(self, needed: Sequence[Permission], model: str, t: int) -> list[Json]:
        """Who could use all of these permissions on the model at `t`, by account: people in a session, services by a token in force."""
        holders = [self.holders(permission) for permission in needed]
        found = []
        for account in sorted(set(holders[0]).intersection(*holders[1:])):
            ways = [way for one in holders for way in one[account]]
            through = [way for n, way in enumerate(ways) if way not in ways[:n]]
            tokens = self.tokens_of(account, needed, model, t) if account.startswith("service:") else []
            if account.startswith("person:") or tokens:
                found.append({"account": account, "through": through, "tokens": tokens})
        return found

    def unknown(self) -> list[str]:
        """Roles of which the entry does not say what they let their holders do."""
        return [
            f"The role {role} was given to {holder} by entry {line.seq}, which does not say what the role let its holders do; "
            "whoever could pull by that role is not listed."
            for (role, holder, _), line in sorted(self.roles.items(), key=lambda one: one[0])
            if "permissions" not in line.after
        ]


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def standing_signatures(lines: Sequence[Line]) -> list[Line]:
    """The sign-offs that nobody withdrew or set aside, oldest first."""
    gone = {
        one.entry.obj_id for one in lines if one.entry.action in {Action.SIGN_OFF_WITHDRAW, Action.SIGN_OFF_DISMISS}
    }
    return [one for one in lines if one.entry.action == Action.SIGN_OFF_GIVE and one.entry.obj_id not in gone]


def is_approval(line: Line) -> bool:
    """Whether the entry closed a round by an approval."""
    return line.entry.action == Action.ROUND_CLOSE and line.after.get("state") in _APPROVED


def cited(answer: Any) -> set[int]:
    """Every entry that an answer names: the values under `entry` and `entries`, wherever they stand."""
    if isinstance(answer, list):
        return set().union(*map(cited, answer)) if answer else set()
    if not isinstance(answer, dict):
        return set()
    found = set[int]()
    for key, value in answer.items():
        if key == "entry" and isinstance(value, int):
            found.add(value)
        elif key == "entries" and isinstance(value, list):
            found.update(value)
        else:
            found |= cited(value)
    return found
