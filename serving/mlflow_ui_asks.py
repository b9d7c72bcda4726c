"""What MLflow's pages ask that its handlers would answer too widely: files wherever a run says that they are, and any GraphQL.

Runs before MLflow's handlers, in its Flask application, which is where bodies and arguments are parsed.
"""

# mypy: disallow-untyped-calls=False
# MLflow's store and errors have no annotations.

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response, request
from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType, parse
from mlflow.exceptions import MlflowException
from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

from foundation.refusals import Forbidden, Invalid, NotFound, Refusal
from serving.caller import caller
from serving.mlflow_errors import as_mlflow
from serving.mlflow_ui import GRAPHQL
from serving.tracking import folder_in
from serving.tracking_access import check_path
from serving.tracking_models import Level
from serving.tracking_store import GovernedStore

MAX_QUERY_CHARACTERS: Final = 20_000
ROOT_FIELDS: Final = frozenset(
    {
        "mlflowGetExperiment", "mlflowGetMetricHistoryBulkInterval", "mlflowGetRun", "mlflowSearchDatasets", "mlflowSearchModelVersions",
        "mlflowSearchRuns",
    }
)  # fmt: skip
"""What the pages ask by GraphQL, all of it through the stores, which narrow it to what the caller may."""

_OF_MODEL: Final = re.compile(
    r"/ajax-api/2\.0/mlflow/logged-models/([A-Za-z0-9_-]{1,64})/artifacts/(files|directories)"
)
_OF_RUN: Final = re.compile(r"/get-artifact|/ajax-api/2\.0/mlflow/artifacts/list")
_OF_TRACE: Final = re.compile(r"/ajax-api/[23]\.0/mlflow/get-trace-artifact")


def answer_pages(store: GovernedStore) -> Any:
    """The Flask `before_request` function for `store`: None where MLflow's handler may answer, else the refusal."""

    def answer() -> Response | None:
        try:
            _check(store)
        except Refusal as refusal:
            return _answer(as_mlflow(refusal))
        except MlflowException as error:
            return _answer(error)
        return None

    return answer


def _answer(error: MlflowException) -> Response:
    return Response(error.serialize_as_json(), status=error.get_http_status_code(), mimetype="application/json")


def _check(store: GovernedStore) -> None:
    path, given = request.path, request.args
    if path == GRAPHQL:
        _check_query(request.get_json(force=True, silent=True))
    elif _OF_RUN.fullmatch(path):
        run = store.get_run(given.get("run_id") or given.get("run_uuid") or "")
        _check_location(run.info.artifact_uri)
    elif found := _OF_MODEL.fullmatch(path):
        _check_location(store.get_logged_model(found[1]).artifact_location)
    elif _OF_TRACE.fullmatch(path):
        trace = store.get_trace_info(given.get("request_id") or "")
        _check_location(get_artifact_uri_for_trace(trace))


def _check_location(location: str | None) -> None:
    """That the files are in our artifact store, in the folder of an experiment that the caller reads."""
    folder = folder_in(location or "")
    if not folder or urlsplit(location or "").netloc:
        raise NotFound("These files are not in this server's artifact store.", code="elsewhere")
    check_path(folder, caller(), Level.READ)


def _check_query(body: Any) -> None:
    """That it is one query of what the pages ask; raises `Invalid` or `Forbidden`."""
    query = body.get("query") if isinstance(body, dict) else None
    if not isinstance(query, str) or len(query) > MAX_QUERY_CHARACTERS:
        raise Invalid("Send one GraphQL query.", code="graphql")
    try:
        document = parse(query, max_tokens=2_000)
    except GraphQLError as error:
        raise Invalid(f"The query cannot be read: {error.message}", code="graphql") from error
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        asked = set(_fields(definition.selection_set.selections))
        unknown = asked - ROOT_FIELDS
        mutation = definition.operation is OperationType.SUBSCRIPTION
        if unknown or mutation:
            raise Forbidden(f"{', '.join(sorted(unknown)) or 'That'} is not asked here.", code="graphql")


def _fields(selections: Iterable[Any]) -> Iterable[str]:
    """The names at the root; a fragment there hides them, so it counts as one of no known name."""
    for selection in selections:
        yield selection.name.value if isinstance(selection, FieldNode) else "a fragment"
