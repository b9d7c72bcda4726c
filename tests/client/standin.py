"""A registry of a test's own on a free port: answers pulls as `serving` does, and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.merkle import consistency_proof, inclusion_proof, range_root
from countersign.proof.dsse import envelope_digest
from countersign.proof.merkle import leaf_hash, node_hash
from countersign.proof.model_sig import model_statement, sign_bundle
from countersign.proof.note import Signer, TreeHead, sign_note
from countersign.proof.receipts import EntryReceipt
from tests.serving.attesting import Registry, manifest_of

TOKEN = "cs_test_token"
STAGE_ALIAS = "champion"
FILES: dict[str, bytes] = {
    "MLmodel": b"flavors: {}\n",
    "data/schema.json": b"{}",
    "model.skops": b"bytes of a model" * 10_000,
}


class Ledger:
    """Entries, and whatever signed heads and proofs a test asks for."""

    def __init__(self, origin: str = "ledger.example.org") -> None:
        self.signer = Signer(origin, Ed25519PrivateKey.generate())
        self.entries: list[bytes] = [json.dumps({"n": n}).encode() for n in range(5)]

    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(self.entries[index])
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def append(self, entry: Mapping[str, Any]) -> int:
        self.entries.append(json.dumps(entry).encode())
        return len(self.entries) - 1

    def checkpoint(self, size: int | None = None) -> str:
        size = len(self.entries) if size is None else size
        return sign_note(TreeHead(self.signer.name, size, range_root(self, 0, size)).text(), self.signer)

    def receipt(self, seq: int) -> EntryReceipt:
        proof = inclusion_proof(self, seq, len(self.entries))
        return EntryReceipt(seq, self.entries[seq], tuple(proof), self.checkpoint())


def promotion_entry(version: int, release: str, stage: str = "production") -> dict[str, Any]:
    """What the ledger says of a promotion."""
    alias = STAGE_ALIAS if stage == "production" else f"{stage}-alias"
    said = {"alias": alias, "stage": stage, "version": version, "release": release}
    return {
        "action": "alias.set",
        "outcome": "ok",
        "obj": {"kind": "model", "id": "m1", "name": "credit", "version": ""},
        "d": {"after": said},
    }


class StandIn:
    """The registry: `document` is what it answers for any reference; tests change its parts and its manners."""

    def __init__(self, files: Mapping[str, bytes] = FILES) -> None:
        self.registry = Registry(now=datetime.now(UTC))
        self.ledger = Ledger()
        self.files = dict(files)
        self.signed_files = self.files
        self.version = 3
        self.stage = "production"
        self.state = "live"
        self.change: Any = lambda document: document
        self.blob: Any = lambda content: content
        self.break_after: int | None = None
        self.ranges = True
        self.delay = 0.0
        self.failures: list[int] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.events: list[str] = []
        self.promoted: dict[str, int] = {}
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def key_file(self) -> str:
        """Both public keys, as a person would put them into one file."""
        public = self.registry.signer.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return f"{public}{self.ledger.signer.verifier}\n"

    def document(self, alias: str | None = "production") -> dict[str, Any]:
        """A pull document as the contract has it, by a promotion of its own; a stage's name is answered as its alias."""
        alias = STAGE_ALIAS if alias == "production" else alias
        self.registry.now = datetime.now(UTC)
        attestation = self.registry.attestation(self.files, version=self.version, stage=self.stage)
        release = envelope_digest(attestation["release"])
        self.promoted[release] = self.ledger.append(promotion_entry(self.version, release, self.stage))
        receipt = self.ledger.receipt(self.promoted[release])
        manifest = manifest_of(self.files)
        digest = json.loads(_payload(attestation["release"]))["predicate"]["digest"]
        here = f"/api/v1/models/credit/versions/{self.version}"
        document = {
            "type": "https://countersign.dev/pull/v1",
            "model": "credit",
            "alias": alias,
            "version": self.version,
            "stage": self.stage,
            "digest": digest,
            "size": sum(file.size for file in manifest),
            "approved_until": None,
            "files": [file.row() | {"url": f"{here}/blobs/{file.sha256}"} for file in manifest],
            "download": f"{here}/download",
            "attestation": attestation,
            "ledger": self.ledger_part(receipt),
        }
        changed: dict[str, Any] = self.change(document)
        return changed

    def ledger_part(self, receipt: EntryReceipt) -> dict[str, Any]:
        """The ledger's word as a document has it."""
        return {
            "log_key": str(self.ledger.signer.verifier),
            "checkpoint": receipt.checkpoint,
            "promotion": {
                "payload": b64encode(receipt.payload).decode(),
                "receipt": receipt.tlog_proof.decode(),
            },
            "pending": False,
        }

    def shown_again(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """An older answer in today's clothes: with the newest status, and its entry proven under the newest checkpoint."""
        release = document["attestation"]["release"]
        return {
            **document,
            "attestation": document["attestation"] | {"status": self.registry.status()},
            "ledger": self.ledger_part(self.ledger.receipt(self.promoted[envelope_digest(release)])),
        }

    def model_sig(self) -> bytes:
        """The `model.sig` of what it says are the signed files."""
        statement = model_statement(f"credit/{self.version}", manifest_of(self.signed_files), {})
        return sign_bundle(statement, ec.generate_private_key(ec.SECP256R1()))

    def requests(self, part: str) -> list[dict[str, str]]:
        """The headers of the requests whose address has this part."""
        return [headers for path, headers in self.asked if part in path]


def _payload(envelope: Mapping[str, Any]) -> bytes:
    return b64decode(envelope["payload"])


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
            """Be quiet."""

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            stand_in.asked.append((self.path, dict(self.headers)))
            if stand_in.failures:
                self.json({"type": "urn:countersign:refusal:busy", "detail": "Try again."}, stand_in.failures.pop(0))
            elif path.startswith("/verify/"):
                pem, _, line = stand_in.key_file.partition("-----END PUBLIC KEY-----\n")
                self.answer((pem + "-----END PUBLIC KEY-----\n" if "registry" in path else line).encode())
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.json({"type": "urn:countersign:refusal:bad-token", "detail": "The token is unknown."}, 401)
            elif "/blobs/" in path:
                self.send_blob(path.rpartition("/")[2])
            elif path == "/api/v1/ledger/consistency":
                self.send_consistency()
            elif path == "/api/v1/watch":
                self.send_events()
            elif path == "/api/v1/me/":
                self.json({"username": "scorer", "roles": ["Service: pull"]})
            elif path.endswith("/model.sig"):
                self.answer(stand_in.model_sig())
            elif path.endswith(f"/versions/{stand_in.version}/"):
                self.json({"model": "credit", "number": stand_in.version, "state": stand_in.state})
            elif "/aliases/" in path or "/versions/" in path:
                self.json(stand_in.document(path.rpartition("/")[2] if "/aliases/" in path else None))
            else:
                self.json({"type": "urn:countersign:refusal:not-found", "detail": "There is nothing."}, 404)

        def json(self, value: Any, status: int = 200) -> None:
            self.answer(json.dumps(value).encode(), status)

        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send_blob(self, digest: str) -> None:
            found = {file.sha256: stand_in.files[file.path] for file in manifest_of(stand_in.files)}[digest]
            content, start, status, more = stand_in.blob(found), 0, 200, {}
            asked = self.headers.get("Range")
            if asked and stand_in.ranges and self.headers.get("If-Range") == f'"{digest}"':
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                status, more = 206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            body = content[start:]
            self.send_response(status)
            for name, value in {"ETag": f'"{digest}"', "Content-Length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.send_slowly(body)

        def send_slowly(self, body: bytes) -> None:
            step = 16_384
            for start in range(0, len(body), step):
                if stand_in.break_after is not None and start >= stand_in.break_after:
                    stand_in.break_after = None
                    self.wfile.flush()
                    self.connection.shutdown(2)
                    self.close_connection = True
                    return
                self.wfile.write(body[start : start + step])
                if stand_in.delay:
                    self.wfile.flush()
                    time.sleep(stand_in.delay)

        def send_consistency(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            proof = consistency_proof(stand_in.ledger, int(query["old"][0]), int(query["new"][0]))
            self.json({"proof": [b64encode(one).decode() for one in proof]})

        def send_events(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write((stand_in.events.pop(0) if stand_in.events else ": nothing\n\n").encode())
            self.close_connection = True

    return Handler
