"""A witness as C2SP tlog-witness describes it, small and with state: what the sink has to get along with."""

from __future__ import annotations

import time
from base64 import b64decode
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.cosignature import Witness, cosign
from countersign.proof.merkle import verify_consistency
from countersign.proof.note import NoteRefused, TreeHead, Verifier, open_checkpoint
from tests.audit.loopback import Answer

NAME = "witness.test/w1"


@dataclass
class SmallWitness:
    """Knows one log by its verifier key and the last tree of it that it cosigned."""

    log: Verifier
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    size: int = 0
    root: bytes = b""
    proofs: list[int] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The verifier key, as an operator would configure it."""
        return str(Witness(NAME, self.private.public_key().public_bytes_raw()))

    def answer(self, path: str, body: bytes) -> Answer:
        """One `add-checkpoint` request."""
        if path != "/add-checkpoint":
            return Answer(b"", 404)
        head, _, note = body.decode().partition("\n\n")
        old_line, *proof = head.split("\n")
        word, _, old = old_line.partition(" ")
        if word != "old" or not old.isdecimal():
            return Answer(b"malformed\n", 400)
        if note.partition("\n")[0] != self.log.name:
            return Answer(b"unknown log\n", 404)
        try:
            tree = open_checkpoint(note, self.log.name, [self.log])
        except NoteRefused:
            return Answer(b"no known signature\n", 403)
        return self._consider(tree, int(old), [b64decode(one) for one in proof])

    def _consider(self, tree: TreeHead, old: int, proof: list[bytes]) -> Answer:
        if old > tree.size:
            return Answer(b"old is larger\n", 400)
        if old != self.size:
            return Answer(f"{self.size}\n".encode(), 409, "text/x.tlog.size")
        if old == tree.size:
            consistent = not proof and self.root in (b"", tree.root)
        else:
            consistent = not proof if old == 0 else verify_consistency(old, tree.size, self.root, tree.root, proof)
        if not consistent:
            return Answer(b"not consistent\n", 422)
        self.size, self.root = tree.size, tree.root
        self.proofs.append(len(proof))
        return Answer(cosign(tree.text(), NAME, self.private, int(time.time())).encode())
