"""The one mapping of refusals to MLflow's error body; clients find the requirements in `RestException.json`.

Never 5xx or 429: MLflow's client repeats those for four minutes, POST included, and then throws the sentence away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.conf import settings
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
)

from foundation.nul import refuse_nul
from foundation.refusals import Refusal
from serving.on_record import on_record

P = ParamSpec("P")
R = TypeVar("R")

BY_CODE: Final = {"alias-unknown": INVALID_PARAMETER_VALUE, "model-exists": RESOURCE_ALREADY_EXISTS}
BY_STATUS: Final = {
    400: INVALID_PARAMETER_VALUE,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: RESOURCE_DOES_NOT_EXIST,
    413: INVALID_PARAMETER_VALUE,
}


def as_mlflow(refusal: Refusal) -> MlflowException:
    """`refusal` as MLflow's exception: its sentences and the review's address in the message, the requirements beside it."""
    code = BY_CODE.get(refusal.code) or BY_STATUS.get(refusal.status, RESOURCE_CONFLICT)
    link = settings.PORTAL_URL + refusal.link if refusal.link.startswith("/") else refusal.link
    message = str(refusal)
    if link and link not in message:
        message = f"{message}\nSee {link}"
    beside: dict[str, Any] = {"code": refusal.code, "link": link} if link else {"code": refusal.code}
    if refusal.requirements:
        beside["requirements"] = [asdict(requirement) for requirement in refusal.requirements]
    return MlflowException(message, error_code=code, **beside)


def answers(method: Callable[P, R]) -> Callable[P, R]:
    """Put the call on record, and let every refusal leave the decorated method in MLflow's form; the first argument is the store."""

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            refuse_nul(*_texts(args[1:]), *_texts(kwargs.values()))
            with on_record(method, *args, **kwargs):
                return method(*args, **kwargs)
        except Refusal as refusal:
            raise as_mlflow(refusal) from refusal

    return run


def _texts(values: Iterable[object]) -> Iterator[str]:
    """Every text that a client sent, in lists and in MLflow's own tags too."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from _texts(value)
        elif hasattr(value, "__dict__"):
            yield from _texts(vars(value).values())
