"""Decides how a question about a moment is put on record, and puts its answer together: canonical bytes with their receipts.

For auditors who may see the model. The bytes rest on the ledger alone (see `as_of_ledger` for what is read).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from django.utils import timezone

from access.catalogue import Permission
from access.permissions import permit
from access.principal import Principal
from audit import keys
from audit.actions import Receipt, append, wait_until_sequenced
from audit.events import Action
from audit.governed import governed
from audit.search import Filter
from countersign.proof.canonical import canonical
from countersign.proof.merkle import leaf_hash
from countersign.proof.receipts import EntryReceipt
from foundation.refusals import Unavailable
from registry.models import RegisteredModel, Stage
from reports.as_of import (
    CANDIDATES,
    Access,
    Holding,
    Json,
    Line,
    cited,
    holdings,
    is_approval,
    standing_signatures,
    written,
)
from reports.as_of_ledger import RULE, Prefix, refuse_unsettled, settled

TYPE: Final = "https://countersign.dev/as-of/v1"
MAX_PULLS: Final = 200
_ACCESS: Final = (
    Action.ROLE_ASSIGN,
    Action.ROLE_WITHDRAW,
    Action.GROUP_ADD,
    Action.GROUP_REMOVE,
    Action.GROUP_RENAME,
    Action.ROLE_UPDATE,
    Action.TOKEN_ISSUE,
    Action.TOKEN_REVOKE,
    Action.PERSON_DEACTIVATE,
    Action.PERSON_REACTIVATE,
)
_ON_THE_MODEL: Final = (
    Action.ACCESS_GRANT,
    Action.ACCESS_WITHDRAW,
    Action.ALIAS_DELETE,
    Action.ALIAS_SET,
    Action.MODEL_CHANGE_TEAM,
    Action.MODEL_CREATE,
    Action.MODEL_UPDATE,
)
_MOVES: Final = frozenset({Action.ALIAS_SET, Action.ALIAS_DELETE})


@dataclass(frozen=True, slots=True)
class Question:
    """A model, a stage, and a moment in UTC."""

    model: RegisteredModel
    stage: Stage
    at: datetime


@governed(Action.AS_OF_ASK)
def record_question(model: RegisteredModel, stage: Stage, at: datetime, *, by: Principal) -> Receipt:
    """Put on record that somebody asks, before anything is told; for auditors who may see the model, and of what is settled."""
    permit(by, Permission.SEE_AUDIT)
    permit(by, Permission.SEE_MODEL, model)
    refuse_unsettled(at, timezone.now())
    return append(
        Action.AS_OF_ASK,
        by=by,
        obj=model.ledger_ref(),
        after={"stage": stage.name, "at": at.astimezone(UTC).isoformat()},
    )


def ask(model: RegisteredModel, stage: Stage, at: datetime, *, by: Principal) -> Json:
    """What the ledger says about `stage` of `model` at `at`; the question is put on record first.

    Raises `Conflict` where the moment is not settled yet, `Unavailable` while the sequencer does not log or the ledger cannot be read.
    """
    at = at.astimezone(UTC)
    receipt = record_question(model, stage, at, by=by)
    prefix = settled(at)
    if prefix is None:
        # Nothing was logged since; the question itself is the entry that settles the moment.
        wait_until_sequenced(receipt)
        prefix = settled(at)
    if prefix is None:
        raise Unavailable(
            "The ledger's newest entries are not signed yet, so the moment is not settled. Ask again shortly; if that stays, "
            "an administrator looks whether the sequencer runs (`manage.py audit status`).",
            code="not-settled",
        )
    return answer(Question(model, stage, at), prefix)


def encode(found: Json) -> bytes:
    """The answer's bytes (RFC 8785)."""
    return canonical(found)


def answer(question: Question, prefix: Prefix) -> Json:
    """The answer with the receipts of all entries that it names."""
    found = _Reading(question, prefix).answer()
    receipts = [(seq, prefix.receipt(seq)) for seq in sorted(cited(found))]
    return found | {
        "receipts": [{"entry": seq, "leaf": _leaf(receipt), "receipt": receipt} for seq, receipt in receipts]
    }


def _leaf(receipt: str) -> str:
    return leaf_hash(EntryReceipt.parse(receipt.encode()).payload).hex()


class _Reading:
    """One question's look at the ledger; each part is read once."""

    def __init__(self, question: Question, prefix: Prefix) -> None:
        self._question, self._prefix = question, prefix
        self._name, self._unknown = question.model.name, list[str]()
        self._on_model = prefix.of(_ON_THE_MODEL, "model", id=str(question.model.pk))

    def answer(self) -> Json:
        question, prefix = self._question, self._prefix
        history = self._history()
        live = history[-1] if history and history[-1].ended_by is None else None
        created = next((one for one in self._on_model if one.entry.action == Action.MODEL_CREATE), None)
        if created is None:
            self._unknown.append(
                "The ledger has no entry from before this moment that the model was created; what happened earlier is not known to it."
            )
        found = {
            "type": TYPE,
            "question": {"model": self._name, "stage": question.stage.name, "at": written(prefix.until)},
            "read": {
                "ledger": keys.origin(),
                "entries": prefix.size,
                "settled_by": prefix.size,
                "checkpoint": prefix.checkpoint,
                "checkpoint_size": prefix.covers,
                "rule": RULE,
            },
            "live": live.told() if live else None,
            "authority": self._authority(live) if live else None,
            **self._access(),
            "pulls": self._pulls(live.version) if live else None,
            "history": [one.told() for one in history],
        }
        return found | {"unknown": self._unknown}

    def _history(self) -> list[Holding]:
        moves = [one for one in self._on_model if one.entry.action in _MOVES]
        stage = self._question.stage
        return holdings(moves, self._promoted, stage=stage.name, alias=stage.alias)

    @cached_property
    def _promoted(self) -> dict[str, Line]:
        lines = self._named((Action.VERSION_PROMOTE, Action.VERSION_ROLL_BACK), "promotion")
        return {one.entry.obj_id: one for one in lines}

    def _named(self, actions: Sequence[Action], kind: str) -> list[Line]:
        return self._prefix.of(actions, kind, name=self._name)

    def _access(self) -> Json:
        on_model = [one for one in self._on_model if one.entry.action not in _MOVES]
        lines = sorted([*self._prefix.of(_ACCESS), *on_model], key=lambda line: line.seq)
        held, t = Access.after(lines), self._prefix.until
        self._unknown += held.unknown()
        return {
            "could_pull": held.accounts([Permission.PULL_VERSION], self._name, t),
            "could_download_any_version": held.accounts(CANDIDATES, self._name, t),
        }

    def _pulls(self, version: int) -> Json:
        registered = next(
            (
                one
                for one in self._named((Action.VERSION_REGISTER,), "version")
                if one.entry.obj_version == str(version)
            ),
            None,
        )
        if registered is None:
            self._unknown.append(
                f"The ledger has no entry that version {version} was registered, so its pulls are not known."
            )
            return {"more": False, "listed": []}
        identity = registered.entry.obj_id
        wanted = [
            Filter(action=one, obj_kind="version", obj_id=identity)
            for one in (Action.VERSION_PULL, Action.VERSION_DOWNLOAD)
        ]
        lines = self._prefix.find(wanted, newest=MAX_PULLS + 1)
        return {"more": len(lines) > MAX_PULLS, "listed": [_pull(one) for one in lines[-MAX_PULLS:]]}

    def _authority(self, live: Holding) -> Json:
        decision = self._promoted.get(str(live.set_by.after.get("promotion", "")))
        basis = live.basis or ("review" if decision else "")
        found: Json = {
            "basis": basis or None,
            "moved": live.set_by.told(release=live.set_by.after.get("release")),
            "decided": decision.told(action=decision.entry.action) if decision else None,
        }
        if basis == "break_glass":
            return found | self._break_glass(live)
        if basis == "envelope":
            return found | self._envelope(live)
        return found | self._review(live)

    def _review(self, live: Holding) -> Json:
        requests = {one.entry.obj_id: one for one in self._named((Action.REVIEW_REQUEST,), "review")}
        for closed in reversed(self._named((Action.ROUND_CLOSE,), "round")):
            requested = requests.get(closed.entry.obj_id.rpartition("/")[0])
            if requested is not None and is_approval(closed) and self._leads_to(live, closed, requested):
                return self._round(live, closed, requested)
        self._unknown.append(f"The ledger has no approved round of version {live.version} from before it went live.")
        return {"requested": None, "round": None, "policies": [], "signatures": [], "exceptions": []}

    def _leads_to(self, live: Holding, closed: Line, requested: Line) -> bool:
        return (
            closed.seq < live.set_by.seq
            and closed.entry.obj_version == str(live.version)
            and requested.after.get("stage") == self._question.stage.name
        )

    def _round(self, live: Holding, closed: Line, requested: Line) -> Json:
        opened = next(iter(self._prefix.of((Action.ROUND_OPEN,), "round", id=closed.entry.obj_id)), None)
        if opened is None:
            self._unknown.append(f"The ledger has no entry that round {closed.entry.obj_id} was opened.")
        start = opened.seq if opened else requested.seq
        signed = self._within(
            live, start, (Action.SIGN_OFF_GIVE, Action.SIGN_OFF_WITHDRAW, Action.SIGN_OFF_DISMISS), "sign_off"
        )
        given = self._within(live, start, (Action.EXCEPTION_GRANT, Action.EXCEPTION_WITHDRAW), "exception")
        taken_back = {one.entry.obj_id for one in given if one.entry.action == Action.EXCEPTION_WITHDRAW}
        return {
            "requested": requested.told(),
            "round": closed.told(id=closed.entry.obj_id, state=closed.after["state"]),
            "policies": self._policies(opened) if opened else [],
            "signatures": [
                one.told(**{key: one.after.get(key) for key in ("slot", "decision", "statement", "on_behalf_of")})
                for one in standing_signatures(signed)
                if one.after.get("stage") == self._question.stage.name
            ],
            "exceptions": [
                one.told(**{key: one.after.get(key) for key in ("gate", "slot", "statement", "ends_at")})
                for one in given
                if one.entry.action == Action.EXCEPTION_GRANT and one.entry.obj_id not in taken_back
            ],
        }

    def _within(self, live: Holding, start: int, actions: Sequence[Action], kind: str) -> list[Line]:
        return [
            one
            for one in self._named(actions, kind)
            if start < one.seq < live.set_by.seq and one.entry.obj_version == str(live.version)
        ]

    def _policies(self, opened: Line) -> list[Json]:
        cited_ = opened.after.get("policies")
        if not isinstance(cited_, list):
            self._unknown.append(f"Entry {opened.seq} does not name the policies in full.")
            return []
        return [self._policy(dict(one), opened) for one in cited_]

    def _policy(self, cited_: Json, opened: Line) -> Json:
        published = self._prefix.of((Action.POLICY_PUBLISH,), "policy_version", name=str(cited_.get("name", "")))
        found = [one for one in published if one.after.get("digest") == cited_.get("digest") and one.seq < opened.seq]
        if not found:
            self._unknown.append(
                f"The ledger has no entry that policy {cited_.get('name')} was put in force with this text: it came with the "
                "installation, or is older than the ledger."
            )
        return {**cited_, "entry": opened.seq, "published": found[-1].told() if found else None}

    def _break_glass(self, live: Holding) -> Json:
        lines = self._named((Action.BREAK_GLASS_ASK, Action.BREAK_GLASS_SECOND), "break_glass")
        ours = [one for one in lines if one.seq < live.set_by.seq and one.entry.obj_version == str(live.version)]
        seconded = [one for one in ours if one.entry.action == Action.BREAK_GLASS_SECOND]
        if not seconded:
            self._unknown.append(f"The ledger has no entry of the break-glass that put version {live.version} live.")
            return {"signatures": []}
        case = [one for one in ours if one.entry.obj_id == seconded[-1].entry.obj_id]
        return {"signatures": [one.told(slot=one.entry.action, statement=one.after.get("statement")) for one in case]}

    def _envelope(self, live: Holding) -> Json:
        uses = [
            one
            for one in self._named((Action.ENVELOPE_USE,), "envelope")
            if one.after.get("version") == live.version and one.after.get("stage") == self._question.stage.name
        ]
        if not uses:
            self._unknown.append(f"The ledger has no entry that an envelope was used for version {live.version}.")
            return {"envelope": None, "signatures": []}
        statements = uses[-1].after.get("signatures", [])
        return {
            "envelope": uses[-1].told(id=uses[-1].entry.obj_id),
            "signatures": [
                one.told(slot=one.after.get("slot"), statement=one.after.get("statement"))
                for one in self._named((Action.ENVELOPE_SIGN,), "envelope_signature")
                if one.after.get("statement") in statements
            ],
        }


def _pull(line: Line) -> Json:
    told: dict[str, Any] = {key: line.after.get(key) for key in ("step", "path", "bytes", "purpose")}
    return line.told(action=line.entry.action, via=line.entry.via, **told)
