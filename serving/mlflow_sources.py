"""Registrations whose files lie on another server: answered here, since MLflow's own handler asks its tracking store for the source first.

Its handler would refuse a run that only an upstream knows, and after registering a logged model would tag it in its own database. All
others go on to it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from serving import django_ready  # noqa: F401 - MLflow imports this module in processes where Django is not set up

# isort: split

from flask import Response, request
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.protos.model_registry_pb2 import CreateModelVersion
from mlflow.utils.proto_json_utils import message_to_json, parse_dict

from foundation.refusals import Refusal
from serving.mlflow_errors import as_mlflow
from serving.upstreams import is_elsewhere

_CREATE: Final = re.compile(r"/api/[23]\.0/mlflow/model-versions/create")


def answer_registration() -> Response | None:
    """Our answer to a registration from elsewhere; None for every other request. For Flask's `before_request`."""
    if request.method != "POST" or not _CREATE.fullmatch(request.path):
        return None
    asked = _asked(request.get_json(force=True, silent=True))
    try:
        if asked is None or not is_elsewhere(asked.source, run_id=asked.run_id, model_id=asked.model_id):
            return None
        version = _registered(asked)
    except (MlflowException, Refusal) as error:
        failure: Any = as_mlflow(error) if isinstance(error, Refusal) else error  # its methods have no types
        return Response(failure.serialize_as_json(), failure.get_http_status_code(), mimetype="application/json")
    return Response(
        message_to_json(CreateModelVersion.Response(model_version=version.to_proto())), mimetype="application/json"
    )


def _registered(asked: Any) -> Any:
    from serving.store import DjangoStore

    return DjangoStore("django://default").create_model_version(
        name=asked.name,
        source=asked.source,
        run_id=asked.run_id,
        tags=[ModelVersionTag.from_proto(tag) for tag in asked.tags],  # type: ignore[no-untyped-call]  # MLflow's
        run_link=asked.run_link,
        description=asked.description,
        model_id=asked.model_id,
    )


def _asked(body: Any) -> Any | None:
    """The request as MLflow's message; None for what its own handler refuses with its own sentence."""
    message = CreateModelVersion()
    if not isinstance(body, dict):
        return None
    try:
        parse_dict(body, message)  # type: ignore[no-untyped-call]  # MLflow's
    except Exception:  # noqa: BLE001 - protobuf's and Python's own, for every field that is of another type
        return None
    return message if message.name and message.source else None
