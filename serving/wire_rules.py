"""Which addresses of MLflow's server exist here, and what each needs; everything else is answered 404.

Pure, so that a test can read the table. The registry's addresses need no more than a credential here: each method of the store asks
for its own permission. What would make the server itself read wherever a run says that its files are (a client may write any address
into an experiment) does not exist here: clients list and fetch files through the artifact store. Gateway, assistant, scorers and jobs
are not let through. MLflow's pages have a table of their own (`mlflow_ui`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

OURS: Final = "countersign"
MAX_DECODINGS: Final = 5


class Needs(StrEnum):
    """What a caller needs to use an address."""

    NOTHING = "nothing"
    CREDENTIAL = "credential"
    READ_RUNS = "read runs"
    READ_FILES = "read the files of runs"
    WRITE_RUNS = "write runs"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    methods: frozenset[str]
    path: re.Pattern[str]
    needs: Needs


def rule(methods: str, path: str, needs: Needs) -> Rule:
    """One line of a table: methods separated by spaces, a pattern for the whole path."""
    return Rule(frozenset(methods.split()), re.compile(path), needs)


_API: Final = r"/api/[23]\.0/mlflow"
_ID: Final = r"[A-Za-z0-9_-]{1,64}"
_SPANS: Final = re.compile(rf".+/traces/{_ID}/artifacts/traces\.json")

RULES: Final = (
    rule("GET HEAD", r"/(health|version)", Needs.NOTHING),
    rule("GET", rf"{_API}/server-info", Needs.CREDENTIAL),
    rule(
        "GET POST PATCH DELETE",
        rf"{_API}/registered-models/(create|get|search|update|delete|rename|alias)",
        Needs.CREDENTIAL,
    ),
    rule("GET POST DELETE", rf"{_API}/registered-models/(get-latest-versions|set-tag|delete-tag)", Needs.CREDENTIAL),
    rule(
        "GET POST PATCH DELETE",
        rf"{_API}/model-versions/(create|get|search|update|delete|transition-stage)",
        Needs.CREDENTIAL,
    ),
    rule("GET POST DELETE", rf"{_API}/model-versions/(get-download-uri|set-tag|delete-tag)", Needs.CREDENTIAL),
    rule("GET POST", rf"{_API}/webhooks", Needs.CREDENTIAL),
    rule("GET PATCH DELETE", rf"{_API}/webhooks/{_ID}", Needs.CREDENTIAL),
    rule("POST", rf"{_API}/webhooks/{_ID}/test", Needs.CREDENTIAL),
    rule("GET", rf"{_API}/experiments/(get|get-by-name|search)", Needs.READ_RUNS),
    rule("POST", rf"{_API}/(experiments|runs|logged-models)/search", Needs.READ_RUNS),
    rule(
        "GET",
        rf"{_API}/(runs/get|metrics/get-history|metrics/get-history-bulk-interval)",
        Needs.READ_RUNS,
    ),
    rule("GET", rf"{_API}/logged-models/{_ID}", Needs.READ_RUNS),
    rule("GET", rf"{_API}/traces(/{_ID}(/info|/assessments/{_ID})?)?", Needs.READ_RUNS),
    rule("POST", rf"{_API}/traces/(search|batchGetInfos|metrics|calculate-filter-correlation)", Needs.READ_RUNS),
    rule("GET", rf"{_API}/datasets/{_ID}(/experiment-ids|/records)?", Needs.READ_RUNS),
    rule("POST", rf"{_API}/datasets/search", Needs.READ_RUNS),
    rule("GET", r"/api/2\.0/mlflow-artifacts/artifacts(/.+)?", Needs.READ_FILES),
    rule(
        "POST",
        rf"{_API}/experiments/(create|update|delete|restore|set-experiment-tag|delete-experiment-tag)",
        Needs.WRITE_RUNS,
    ),
    rule(
        "POST",
        rf"{_API}/runs/(create|update|delete|restore|log-batch|log-metric|log-parameter|log-model)",
        Needs.WRITE_RUNS,
    ),
    rule("POST", rf"{_API}/runs/(log-inputs|outputs|set-tag|delete-tag)", Needs.WRITE_RUNS),
    rule("POST", rf"{_API}/logged-models(/{_ID}/params)?", Needs.WRITE_RUNS),
    rule("PATCH", rf"{_API}/logged-models/{_ID}(/tags)?", Needs.WRITE_RUNS),
    rule("DELETE", rf"{_API}/logged-models/{_ID}", Needs.WRITE_RUNS),
    rule("DELETE", rf"{_API}/logged-models/{_ID}/tags/.+", Needs.WRITE_RUNS),
    rule("POST", r"/v1/traces", Needs.WRITE_RUNS),
    rule("POST", rf"{_API}/traces(/delete-traces|/link-to-run|/{_ID}/assessments)?", Needs.WRITE_RUNS),
    rule("PATCH", rf"{_API}/traces/{_ID}", Needs.WRITE_RUNS),
    rule("PATCH DELETE", rf"{_API}/traces/{_ID}/(tags|assessments/{_ID})", Needs.WRITE_RUNS),
    rule("POST", rf"{_API}/datasets/(create|{_ID}/(records|add-experiments|remove-experiments))", Needs.WRITE_RUNS),
    rule("PATCH", rf"{_API}/datasets/{_ID}/tags", Needs.WRITE_RUNS),
    rule("DELETE", rf"{_API}/datasets/{_ID}(/records|/tags/.+)?", Needs.WRITE_RUNS),
    rule("PUT", r"/api/2\.0/mlflow-artifacts/artifacts/.+", Needs.WRITE_RUNS),
)


def needs(method: str, path: str) -> Needs | None:
    """What `method` on `path` needs, or None where there is no such address here."""
    for one in RULES:
        if method in one.methods and one.path.fullmatch(path):
            return one.needs
    return None


def plain_path(path: str) -> str | None:
    """An artifact path with nothing hidden in it, or None: no `..`, no empty or dotted parts, no second encoding, no backslash."""
    decoded = path
    for _ in range(MAX_DECODINGS):
        if (again := unquote(decoded)) == decoded:
            break
        decoded = again
    parts = decoded.strip("/").split("/")
    hidden = any(part in {"", ".", ".."} for part in parts) or "\\" in decoded or "\0" in decoded or "%" in decoded
    return None if hidden else "/".join(parts)


def is_ours(path: str) -> bool:
    """Whether an artifact path is (or pretends to be) that of a registered version, which nobody writes."""
    return path.split("/", 1)[0].casefold() == OURS


def is_trace(path: str) -> bool:
    """Whether an artifact path is that of the spans of a trace, where clients before 3.2 keep them."""
    return _SPANS.fullmatch(path) is not None
