"""What is asked of both sides: each operation as a request by each way."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.registry.content import model_name
from benchmarks.registry.figures import GATEWAY, PEER, PEER_ALONE, PORTAL, WIRE
from benchmarks.registry.load import Request
from benchmarks.registry.ours import Ours, new_run
from benchmarks.registry.peer import Peer
from tests.serving.tiny_models import tiny

MLFLOW: Final = "/api/2.0/mlflow/"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts/"
SOURCES: Final = 60_000
BOUNDARY: Final = "countersign-benchmark"


def operations(ours: Ours, peer: Peer) -> dict[str, dict[str, Request]]:
    """Each operation by each way in. What is read is the same on both sides; what is written grows alike."""
    reader, writer = ({"Authorization": f"Bearer {ours.tokens[name]}"} for name in ("pull", "register"))

    def on_mlflow(method: str, path: str, said: Mapping[str, Any], *, headers: Mapping[str, str] = writer) -> Any:
        """One request for all who speak MLflow; the stock server asks for no credential."""
        target = MLFLOW + path + (f"?{urlencode(said)}" if method == "GET" else "")
        body = "" if method == "GET" else json.dumps(said)
        json_too = {} if method == "GET" else {"Content-Type": "application/json"}
        request, bare = Request(method, target, body, {**headers, **json_too}), Request(method, target, body, json_too)
        return {WIRE: request, PEER: bare, PEER_ALONE: bare}

    some, many = model_name(7), model_name(0)[:-1] + "@D@"
    pull = Request("GET", "/api/v1/models/credit/aliases/champion", headers=reader)
    one = Request("GET", f"/api/v1/models/{some}/versions/3/", headers=writer)
    page = Request("GET", "/api/v1/models/?page_size=50", headers=writer)
    put = Request(
        "PUT",
        f"/api/v1/models/{many}/aliases/trial/",
        json.dumps({"version": "@T@"}),
        {**writer, "Content-Type": "application/json"},
    )
    resolved = on_mlflow("GET", "registered-models/alias", {"name": "credit", "alias": "champion"}, headers=reader)
    named = {"filter": f"name = '{some}'", "max_results": 10}
    tagged = {"filter": "tags.batch = 'b17'", "max_results": 10}
    alias = {"name": many, "alias": "trial", "version": "@T@"}
    return {
        "resolve an alias": {GATEWAY: pull, PORTAL: pull} | resolved,
        "get a version": {PORTAL: one} | on_mlflow("GET", "model-versions/get", {"name": some, "version": 3}),
        "search by name": on_mlflow("GET", "model-versions/search", named),
        "search by tag": on_mlflow("GET", "model-versions/search", tagged),
        "list 50 models": {PORTAL: page} | on_mlflow("GET", "registered-models/search", {"max_results": 50}),
        "set an alias": {PORTAL: put} | on_mlflow("POST", "registered-models/alias", alias),
        "create a version": {PORTAL: upload(f"/api/v1/models/{many}/versions/", writer)}
        | _from_runs(ours, peer, many, writer),
    }


def upload(target: str, headers: Mapping[str, str]) -> Request:
    """Files of a new version, sent in one request; the description makes no two the same in the record."""
    files = {path: data for path, data in tiny().items() if path != "model.skops"}
    files["model.skops"] = base64.b64encode(tiny()["model.skops"])[
        :2_000
    ]  # text of the same kind of size: a script sends it
    manifest = [{"path": path, "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()]
    fields = {"manifest": json.dumps(manifest), "source": "benchmark/@N@"}
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in fields.items()]
    parts += [
        f'Content-Disposition: form-data; name="{path}"; filename="{path}"\r\n\r\n{data.decode()}'
        for path, data in files.items()
    ]
    body = "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts) + f"--{BOUNDARY}--\r\n"
    return Request("POST", target, body, {**headers, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def _from_runs(ours: Ours, peer: Peer, model: str, headers: Mapping[str, str]) -> dict[str, Request]:
    """A version out of a run's artifacts. The same source again within minutes is a repetition to us, so each request has its own."""
    requests = {}
    for way, (run, address) in ((WIRE, ours.new_run()), (PEER, new_run(peer.origins[PEER], {}))):
        said = {"name": model, "source": f"{address}/@N@", "run_id": run}
        if way == WIRE:
            folder = ours.artifacts / address.removeprefix("mlflow-artifacts:/")
            write_model(folder / "model")
            for number in range(SOURCES):
                (folder / str(number)).symlink_to("model")
        own = {"Content-Type": "application/json", **(headers if way == WIRE else {})}
        requests[way] = Request("POST", f"{MLFLOW}model-versions/create", json.dumps(said), own)
    return requests | {PEER_ALONE: requests[PEER]}


def write_model(folder: Path) -> None:
    """The tiny model's files, as a client's upload would have put them there."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in tiny().items():
        (folder / path).write_bytes(data)


def downloads(ours: Ours, number: int) -> dict[str, Request]:
    """The large file by each way in."""
    headers = {"Authorization": f"Bearer {ours.tokens['pull']}"}
    own = Request("GET", f"/api/v1/models/credit/versions/{number}/files/model.skops", headers=headers)
    wire = Request("GET", f"{ARTIFACTS}countersign/credit/{number}/model.skops", headers=headers)
    peer = Request("GET", f"{ARTIFACTS}large/model.skops")
    return {PORTAL: own, GATEWAY: own, WIRE: wire, PEER: peer}
