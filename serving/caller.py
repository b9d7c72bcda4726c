"""Who is asking over MLflow's wire: set once per request by `serving.wire`, read by `serving.store` in whatever thread it runs."""

from __future__ import annotations

from contextvars import ContextVar

from access.principal import Principal
from foundation.refusals import Unauthenticated

_caller: ContextVar[Principal | None] = ContextVar("mlflow_caller", default=None)


def set_caller(principal: Principal) -> None:
    """Remember who asks, for the rest of this request."""
    _caller.set(principal)


def caller() -> Principal:
    """Who asks; raises `Unauthenticated` outside a request."""
    principal = _caller.get()
    if principal is None:
        raise Unauthenticated("Nobody is signed in. Set MLFLOW_TRACKING_TOKEN to a service token.")
    return principal
