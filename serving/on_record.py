"""Decides what a call of MLflow's registry puts on record: what was read, searched for, or refused; once, for the outermost call.

A deed records itself (`audit.governed`), and so does a pull; the portal's addresses are in `config.reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from typing import Any, Final

from audit.actions import append_alone
from audit.events import Action, Obj, Outcome
from audit.tally import Written, tallied
from foundation.refusals import Refusal
from serving.caller import caller
from serving.pulls import by_rule

READS: Final[Mapping[str, Action]] = {
    "get_registered_model": Action.MODEL_VIEW,
    "get_latest_versions": Action.MODEL_VIEW,
    "get_model_version": Action.VERSION_VIEW,
    "get_model_version_by_alias": Action.VERSION_VIEW,
    "get_model_version_download_uri": Action.VERSION_VIEW,
    "get_webhook": Action.WEBHOOK_VIEW,
    "search_registered_models": Action.SEARCH_RUN,
    "search_model_versions": Action.SEARCH_RUN,
}
"""By the method of MLflow's store. A search without a filter is a list, which is not on record."""

REFUSED: Final = frozenset({403, 404, 409})

_inside: Final[ContextVar[bool]] = ContextVar("mlflow_call_on_record", default=False)


@contextmanager
def on_record(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[None]:
    """Around one call of a method of the store; a call that another one makes belongs to that one."""
    if _inside.get():
        yield
        return
    given = signature(method).bind_partial(*args, **kwargs).arguments
    token = _inside.set(True)
    try:
        with tallied() as written:
            try:
                yield
            except Refusal as refusal:
                _refused(method.__name__, given, refusal, written)
                raise
            if not written:
                _read(method.__name__, given)
    finally:
        _inside.reset(token)


def _read(name: str, given: Mapping[str, Any]) -> None:
    action, page = READS.get(name), {"page": f"mlflow:{name}"}
    if action is Action.SEARCH_RUN and given.get("filter_string"):
        private = {"query": str(given["filter_string"])[:200]}
        append_alone(action, by=caller(), obj=Obj("search", ""), after=page, private=private)
    elif action is not None and action is not Action.SEARCH_RUN:
        append_alone(action, by=caller(), obj=_obj(given), after=page)


def _refused(name: str, given: Mapping[str, Any], refusal: Refusal, written: Sequence[Written]) -> None:
    if refusal.status not in REFUSED or any(one.outcome is not Outcome.OK for one in written):
        return
    action = READS.get(name, Action.ADDRESS_REQUEST)
    after = {"page": f"mlflow:{name}", **by_rule(refusal)}
    append_alone(action, by=caller(), obj=_obj(given), outcome=Outcome.DENIED, why=refusal.code, after=after)


def _obj(given: Mapping[str, Any]) -> Obj:
    if "webhook_id" in given:
        return Obj("webhook", str(given["webhook_id"])[:64])
    name, version = str(given.get("name") or "")[:200], str(given.get("version") or "")[:20]
    return Obj("version" if version else "model", "", name, version)
