"""What an implementation that is not ours says of an exported log: run by test_oracles.py with only that package on its path.

Arguments: the folder of the log, its verifier key, an older checkpoint, a receipt. Prints what was found; exit code 0 where it holds.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from pathlib import Path

from aics_tlog import (
    FileSystemTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_leaf_inclusion,
)

folder, key, older, receipt = Path(sys.argv[1]), parse_vkey(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
reader = FileSystemTileReader(folder)


def opened(text: str):
    """The head of a checkpoint that the key has signed."""
    note = parse_note(text)
    found = verify_checkpoint(note, key)
    if not found.ok:
        sys.exit(f"checkpoint: {found}")
    return parse_checkpoint(note.text)


head, old = opened((folder / "checkpoint").read_text()), opened(older.read_text())
walked = audit_tiles(reader, head.size, head.root)
proof = consistency_proof_from_tiles(reader, old.size, head.size)
if not verify_consistency(old.size, head.size, old.root, head.root, proof):
    sys.exit("consistency: the newer log does not continue the older one")

lines, _, checkpoint = receipt.read_text().partition("\n\n")
_, extra, index, *hashes = lines.split("\n")
entry, seq, path = b64decode(extra[6:]), int(index[6:]), [b64decode(line) for line in hashes]
signed = opened(checkpoint)
if not verify_leaf_inclusion(entry, seq, signed.size, path, signed.root):
    sys.exit("inclusion: the receipt's proof does not hold")
if path != inclusion_proof_from_tiles(reader, seq, signed.size):
    sys.exit("inclusion: the tiles give another proof")
sys.stdout.write(f"{head.origin} {head.size} {walked.tiles} tiles {walked.bundles} bundles\n")
