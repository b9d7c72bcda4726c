#!/usr/bin/env python3
"""Check a ledger of Countersign without Countersign: Python 3.9 or newer and the package `cryptography`, nothing else.

    python3 -I verify.py bundle LEDGER.tar --key KEY [--held FILE]…
    python3 -I verify.py compare OLDER.tar NEWER.tar --key KEY [--held FILE]…
    python3 -I verify.py receipt ENTRY.tlog-proof --key KEY [--held FILE]…

KEY is the log's public key, `name+id+base64`, from a channel that whoever gave you the file cannot change; repeat it after
a rotation or a recovery, and narrow each to the sizes that it signed, as the lines of the operator's ledger.pub do:
--key "name+id+base64 from=0 until=1200". FILE holds checkpoints that you kept from before: one checkpoint as it was given to
you, or a file of JSON lines as in the bundle's folder anchors. Without a checkpoint of your own, whoever has the log's key
could have made up the whole file in front of you.

Everything is computed anew from the bytes: the hash of each entry, every tile, the root at every signed size (RFC 6962, and
C2SP's tlog-tiles, tlog-checkpoint, signed-note and tlog-proof), each writer's own numbering, the clock, and that disclosed
personal data is what the entries commit to. The tar is read in place; nothing is unpacked. A ledger that was continued under
another name after a loss holds where it states what was lost; that is said every time.

Exit code 0: all that was checked holds. 1: something does not; each problem is a sentence. 2: nothing could be checked.

To read it: hashes and proofs, keys and checkpoints, the tar, the entries, the heads that must be met; then the three commands.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from tarfile import REGTYPE, HeaderError, TarInfo
from typing import Any, BinaryIO, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH, HASH, BLOCK = 256, 32, 512
LARGEST_ENTRY, LONGEST_LINE = 65_535, 1_000_000
CONTINUED = "/continued-"  # between a log's name and the number of its continuation after a loss
CLOCK_TOLERANCE_US = 5 * 60 * 1_000_000
MOST_PROBLEMS = 100
NUMBER = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)
NAMES = re.compile(
    r"README\.txt|bundle\.json|checkpoint|checkpoints\.jsonl|disclosures\.jsonl|keys|policy|verify\.py"
    r"|anchors/[a-z0-9-]{1,60}\.jsonl|tile/(?:entries|[0-9]|[1-9][0-9])/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?",
    re.ASCII,
)
Held = list[tuple[str, str]]  # checkpoints: where each was found, and the note


class Broken(Exception):
    """The bytes are not what they should be; the sentence says which and why."""


class Report:
    """What was found, in sentences: problems, remarks that must not go unsaid, and what was checked."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.facts: list[str] = []

    def problem(self, sentence: str) -> None:
        """Add a problem; one fault can show a million times, so the first hundred are kept."""
        if len(self.problems) <= MOST_PROBLEMS:
            more = len(self.problems) == MOST_PROBLEMS
            self.problems.append("And more problems of these kinds." if more else sentence)


# Hashes and proofs.


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def tree_root(hashes: list[bytes], right: bytes | None = None) -> bytes:
    """The root over one or more subtrees of one height and, where there is one, a smaller tree to their right."""
    while len(hashes) > 1:
        if len(hashes) % 2:
            right = hashes[-1] if right is None else node_hash(hashes[-1], right)
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes) - 1, 2)]
    return hashes[0] if right is None else node_hash(hashes[0], right)


def root_by_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root to which a proof leads, read from the root down (RFC 6962, section 2.1.1)."""
    if (size > 1) != bool(proof):
        raise Broken("its proof is too long or too short")
    if size == 1:
        return leaf
    left = (
        1 << (size - 1).bit_length() - 1
    )  # how many entries the left subtree has: the largest power of two below `size`
    if index < left:
        return node_hash(root_by_proof(leaf, index, left, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_by_proof(leaf, index - left, size - left, proof[:-1]))


# Keys and checkpoints.


class Key(NamedTuple):
    """A log's public key, and the tree sizes for which its signature counts."""

    name: str
    raw: bytes
    first: int
    last: int | None


class Head(NamedTuple):
    """What a checkpoint signs."""

    origin: str
    size: int
    root: bytes


def unbase64(text: str) -> bytes:
    """Decode strict base64."""
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:  # not base64, or not ASCII
        raise Broken("what should be base64 is not") from error


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """Decode a JSON object; raises `Broken` where `what` is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Broken(f"{what} cannot be read") from error
    if not isinstance(found, dict):
        raise Broken(f"{what} is no object")
    return found


def parse_key(text: str) -> Key:
    """Read `name+id+base64 [from=N] [until=N]`; the id has to be the key's own."""
    vkey, *ranges = text.split() or [""]
    name, _, rest = vkey.partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = unbase64(encoded)
    if not name or len(raw) != 33 or raw[0] != 1 or sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != key_id:
        raise Broken("a key is its name, its id and its base64 with plus signs between, and its id has to be its own")
    said = dict(part.partition("=")[::2] for part in ranges if not part.startswith("replaced="))
    if not said.keys() <= {"from", "until"} or not all(value.isdecimal() for value in said.values()):
        raise Broken("a key is followed by from=N and until=N, the sizes for which it counts, or by nothing")
    return Key(name, raw[1:], int(said.get("from", 0)), int(said["until"]) if "until" in said else None)


def epoch(name: str) -> tuple[str, int]:
    """A log's own name, and which continuation of it this is; 1 before any loss."""
    base, _, number = name.partition(CONTINUED)
    return base, int(number) if re.fullmatch("[0-9]{1,9}", number, re.ASCII) else 1


def open_checkpoint(note: str, keys: list[Key]) -> Head:
    """The head of a checkpoint that a key in `keys` has signed for the log of its own name (C2SP tlog-checkpoint)."""
    body, separator, signatures = note.rpartition("\n\n")
    lines = body.split("\n")
    if not separator or not signatures.endswith("\n") or len(lines) < 3 or len(note) > LONGEST_LINE:
        raise Broken("it is not a signed checkpoint")
    origin, size, root = lines[0], lines[1], unbase64(lines[2])
    if not NUMBER.fullmatch(size) or len(root) != HASH:
        raise Broken("its size or its root cannot be read")
    signed = False
    for line in signatures[:-1].split("\n"):
        dash, name, encoded, *_ = [*line.split(" ", 2), "", ""]
        blob = unbase64(encoded)
        for key in keys:
            if dash != "—" or name != key.name or blob[:4] != sha256(name.encode() + b"\n\x01" + key.raw).digest()[:4]:
                continue  # signatures of others are for others to check
            try:
                Ed25519PublicKey.from_public_bytes(key.raw).verify(blob[4:], (body + "\n").encode())
            except InvalidSignature as error:
                raise Broken(f"the signature of {name} does not fit it") from error
            covers = key.first <= int(size) and (key.last is None or int(size) <= key.last)
            signed = signed or (name == origin and covers)
    if not signed:
        raise Broken("no key that you gave has signed it, or may sign it")
    return Head(origin, int(size), root)


# The tar, and the tree in it.


class Tar:
    """The files of a bundle, read in place: plain files under the names of a bundle, each once; anything else is refused."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.places = file, dict[str, tuple[int, int]]()
        self.size = file.seek(0, os.SEEK_END)
        position = file.seek(0)
        while (header := file.read(BLOCK)) != bytes(BLOCK):
            name, size = self._member(header, position)
            position += BLOCK
            if position + size > self.size:
                raise Broken(f"the tar file ends within {name}")
            if name in self.places:
                raise Broken(f"the tar file holds {name} twice")
            self.places[name] = (position, size)
            position = file.seek(position + -(-size // BLOCK) * BLOCK)
        while rest := file.read(BLOCK * 128):
            if rest.strip(b"\x00"):
                raise Broken("the tar file goes on after its end")

    @staticmethod
    def _member(header: bytes, position: int) -> tuple[str, int]:
        if len(header) < BLOCK or header[257:262] != b"ustar":
            raise Broken(
                f"it is not a whole, uncompressed tar file: cut short, or something else from byte {position} on"
            )
        try:
            member = TarInfo.frombuf(header, "ascii", "backslashreplace")
        except HeaderError as error:
            raise Broken(f"the tar header at byte {position} is damaged") from error
        if member.type != REGTYPE or member.size < 0 or not NAMES.fullmatch(member.name):
            raise Broken(f"the tar file holds {member.name[:99]!r}, which is not a plain file of a bundle")
        return member.name, member.size

    def read(self, name: str, limit: int) -> bytes:
        """A whole file of at most `limit` bytes; raises `Broken` where it is missing or larger."""
        if name not in self.places:
            raise Broken(f"{name} is missing from the bundle")
        position, size = self.places[name]
        if size > limit:
            raise Broken(f"{name} is larger than it can be")
        self.file.seek(position)
        return self.file.read(size)

    def lines(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The numbered JSON objects of a file of lines, one at a time; none where there is no such file."""
        position, size = self.places.get(name, (0, 0))
        end, number = position + size, 0
        while position < end:
            self.file.seek(position)
            line = self.file.readline(min(LONGEST_LINE, end - position))
            position, number = position + len(line), number + 1
            yield number, json_object(line, f"line {number} of {name}")

    def checkpoint(self) -> str:
        """The newest checkpoint of the bundle."""
        return self.read("checkpoint", LONGEST_LINE).decode("utf-8", "replace")

    def since(self, size: int) -> int:
        """How many of `size` entries lie before the bundle's beginning."""
        said = json_object(self.read("bundle.json", 10_000), "bundle.json does not say where the bundle begins: it")
        since = said.get("since")
        if said.get("format") != "countersign.ledger-bundle@v1" or type(since) is not int or not 0 <= since <= size:
            raise Broken("bundle.json does not say where the bundle begins")
        return since


def tile_name(kind: str, n: int, width: int = WIDTH) -> str:
    """The path of a tile or entry bundle (C2SP tlog-tiles), such as tile/0/x001/x234/067.p/12."""
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03}")
    return f"tile/{kind}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


class Tree:
    """The tree of `size` entries in a bundle: its tiles from the one on in which entry number `since` lies."""

    def __init__(self, tar: Tar, since: int, size: int) -> None:
        self.tar, self.since, self.size = tar, since, size

    def parts(self, level: int) -> Iterator[tuple[int, int]]:
        """The number and the width of each tile of a level."""
        count = self.size >> 8 * level
        for n in range(self.since >> 8 * (level + 1), -(-count // WIDTH)):
            yield n, min(WIDTH, count - n * WIDTH)

    def names(self) -> Iterator[str]:
        """Every tile and entry bundle that the bundle has to hold."""
        yield from (tile_name("entries", n, width) for n, width in self.parts(0))
        for level in range(8):
            yield from (tile_name(str(level), n, width) for n, width in self.parts(level))

    def tile(self, level: int, n: int) -> list[bytes]:
        """The hashes in a tile, each of a full tile below it, or of an entry."""
        width = min(WIDTH, (self.size >> 8 * level) - n * WIDTH)
        data = self.tar.read(tile_name(str(level), n, width), width * HASH)
        return [data[at : at + HASH] for at in range(0, len(data), HASH)]

    def entries(self, n: int, width: int) -> list[bytes]:
        """The entries of an entry bundle, in which each is preceded by its length in two bytes."""
        name = tile_name("entries", n, width)
        data = self.tar.read(name, WIDTH * (LARGEST_ENTRY + 2))
        found: list[bytes] = []
        position = 0
        while position < len(data):
            start = position + 2
            position = start + int.from_bytes(data[position:start], "big")
            found.append(data[start:position])
        if position != len(data) or len(found) != width:
            raise Broken(f"{name} does not hold {width} whole entries")
        return found

    def check(self, report: Report, entries: Entries) -> None:
        """Hash every entry and every full tile anew, and compare with the tiles above; read the entries on the way."""
        for level in range(8):
            for n, width in self.parts(level):
                first = max(self.since >> 8 * level, n * WIDTH) if level else n * WIDTH
                if level:
                    hashes = [tree_root(self.tile(level - 1, below)) for below in range(first, n * WIDTH + width)]
                else:
                    payloads = self.entries(n, width)
                    hashes = [leaf_hash(payload) for payload in payloads]
                    for seq in range(max(self.since, first), first + width):
                        entries.read(seq, payloads[seq - first])
                if self.tile(level, n)[first - n * WIDTH :] != hashes:
                    report.problem(f"{tile_name(str(level), n, width)} is not what the entries give.")

    def root(self, size: int) -> bytes:
        """The root over the first `size` entries, from tiles that `check` has compared; not before `since`."""
        root = None
        for level in range(8):
            if width := (size >> 8 * level) % WIDTH:
                root = tree_root(self.tile(level, size >> 8 * (level + 1))[:width], root)
        return root or sha256(b"").digest()


# What the entries say.


class Entries:
    """Reads the entries in order: writers' own numbering, the clock, and that what is disclosed is what was committed to."""

    def __init__(self, heads: Heads, disclosures: Iterator[tuple[int, dict[str, Any]]], *, complete: bool) -> None:
        self.heads, self.report, self.disclosures, self.complete = heads, heads.report, disclosures, complete
        self.numbers: dict[str, set[int]] = {}
        self.opened = self.latest = 0
        self.next = next(disclosures, None)

    def read(self, seq: int, payload: bytes) -> None:
        """Check one entry."""
        try:
            entry = json_object(payload, "it")
            writer, n, previous, t, digests = (entry[name] for name in ("w", "n", "p", "t", "sd"))
            if (
                not isinstance(writer, str)
                or {type(n), type(previous), type(t)} != {int}
                or not isinstance(digests, list)
            ):
                raise TypeError
        except (Broken, KeyError, TypeError):
            self.report.problem(f"Entry {seq} cannot be read.")
            return
        if entry.get("action") == "ledger.recover":
            self.heads.state(seq, entry)
        numbers = self.numbers.setdefault(writer, set())
        if n in numbers:
            self.report.problem(f"Entry {seq} repeats number {n} of writer {writer}.")
        # A writer's first entry in a bundle that does not begin at the first entry may follow one before the bundle.
        if previous >= 0 and previous not in numbers and (numbers or self.complete):
            self.report.problem(
                f"Before entry {seq}, writer {writer} had committed its number {previous}, which is not in the ledger: "
                "it was removed before it could be logged, or refused."
            )
        numbers.add(n)
        if t < self.latest - CLOCK_TOLERANCE_US:
            minutes = (self.latest - t) // 60_000_000
            self.report.problem(f"Entry {seq} is dated {minutes} minutes before an entry that was logged earlier.")
        self.latest = max(self.latest, t)
        while self.next is not None and self.next[1].get("seq") == seq:
            openings = self.next[1].get("disclosures")
            for opening in openings if isinstance(openings, list) else [openings]:
                canonical = json.dumps(opening, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
                if urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode() not in digests:
                    self.report.problem(f"What is disclosed of entry {seq} is not what the entry commits to.")
                self.opened += 1
            self.next = next(self.disclosures, None)

    def end(self) -> None:
        """After the last entry: nothing may be disclosed of others, or out of order."""
        if self.next is not None:
            self.report.problem(
                f"Line {self.next[0]} of disclosures.jsonl is of no entry of this bundle, or out of order."
            )


# The heads that must be met.


class Heads:
    """The signed heads that the tree has to meet, with the first place that claims each.

    A head that a later continuation of the ledger gave up cannot be met; the continuation's first entry has to state it.
    """

    def __init__(self, keys: list[Key], report: Report) -> None:
        self.keys, self.report = keys, report
        self.places: dict[Head, str] = {}
        self.stated: dict[int, tuple[list[Head], str]] = {}  # by entry: what it gives up, and why
        # How many entries each continuation took over: as its key's range says, else as its own first entry does.
        self.kept: dict[str, int] = {}
        for key in sorted(keys, key=lambda key: key.first):
            if CONTINUED in key.name and key.first:
                self.kept.setdefault(key.name, key.first - 1)

    def add(self, note: str, place: str, size: object = None) -> Head | None:
        """Take a checkpoint; the head where its signature holds. `size` is the one under which it was filed."""
        note = note.encode("utf-8", "replace").decode()  # JSON can hold what is no text: lone surrogates
        try:
            head = open_checkpoint(note, self.keys)
        except Broken as problem:
            self.report.problem(f"{place} is not to be believed: {problem}.")
            return None
        self.places.setdefault(head, place)
        if size is not None and head.size != size:
            self.report.problem(f"{place} is filed under {size} entries but signs {head.size}.")
        return head

    def state(self, seq: int, entry: dict[str, Any]) -> None:
        """Take what the first entry of a continuation states: how much was kept, why, the largest head of each lost name."""
        try:
            after = entry["d"]["after"]
            lost = [Head(str(one["origin"]), int(one["size"]), bytes.fromhex(one["root"])) for one in after["lost"]]
            name, kept, reason = str(after["origin"]), after["kept"], str(after["reason"])
        except (KeyError, TypeError, ValueError):
            return
        self.stated[seq] = (lost, reason)
        if kept == seq and CONTINUED in name and name in {key.name for key in self.keys}:
            self.kept.setdefault(name, seq)

    def settle(self, tree: Tree, own: int) -> None:
        """After the last entry: hold every head against the tree, or against what the continuations up to `own` state."""
        cut_short: tuple[Head, str] | None = None
        for head, place in sorted(self.places.items(), key=lambda one: one[0].size):
            base, number = epoch(head.origin)
            later = [(epoch(name), kept) for name, kept in self.kept.items()]
            left_out = [kept for (of, n), kept in later if of == base and number < n <= own and kept < head.size]
            if number > own or (head.size > tree.size and not left_out):
                cut_short = (head, place) if cut_short is None or cut_short[0].size < head.size else cut_short
            elif head.size >= tree.since and left_out:
                self._given_up(head, place, left_out, tree.since)
            elif head.size >= tree.since and head.root != (root := tree.root(head.size)):
                self.report.problem(
                    f"The first {head.size:,} entries are not the ones that were signed: {place} says root "
                    f"{head.root.hex()}, the entries give {root.hex()}."
                )
        if cut_short:
            head, place = cut_short
            what = f"{head.size:,}" if epoch(head.origin)[1] <= own else f"{head.size:,} of {head.origin}"
            self.report.problem(
                f"The bundle ends at {tree.size:,} entries, but {place} signs {what}: it was cut short."
            )
        for kept in sorted({kept for name, kept in self.kept.items() if epoch(name)[1] <= own} & self.stated.keys()):
            lost, reason = self.stated[kept]
            what = "; ".join(f"{one.size - kept:,} entries of {one.origin}, up to {one.size:,}" for one in lost)
            what = f"given up: {what}" if what else "it is not known whether anything was lost"
            self.report.remarks.append(
                f"The ledger was recovered at {kept:,} entries; {what}. Entry {kept} states it and why: {reason}"
            )

    def _given_up(self, head: Head, place: str, left_out: list[int], since: int) -> None:
        """A head that was given up: one of the continuations has to state it, or a larger one of the same name."""
        lost = [one for kept in left_out if kept in self.stated for one in self.stated[kept][0]]
        if any(one == head or (one.origin == head.origin and one.size > head.size) for one in lost):
            return
        if min(left_out) < since:
            self.report.remarks.append(
                f"{place} signs {head.size:,} entries of {head.origin}, which was recovered at {min(left_out):,}; what became of them is "
                "stated before this bundle's beginning and could not be compared."
            )
        else:
            self.report.problem(
                f"The ledger {head.origin} had {head.size:,} signed entries ({place}), and what continues it does not say what "
                "became of them."
            )


# The three commands.


def check_bundle(file: BinaryIO, keys: list[Key], held: Held) -> tuple[Report, Head | None]:
    """Check a bundle against the keys and the checkpoints that the caller holds."""
    report = Report()
    try:
        return report, _check_bundle(Tar(file), keys, held, report)
    except Broken as problem:
        report.problem(f"The bundle cannot be read: {problem}.")
        return report, None


def _check_bundle(tar: Tar, keys: list[Key], held: Held, report: Report) -> Head | None:
    heads = Heads(keys, report)
    head = heads.add(tar.checkpoint(), "The checkpoint of the bundle")
    if head is None:
        return None
    tree = Tree(tar, since := tar.since(head.size), head.size)
    if (head.size - since) * (HASH + 2) > tar.size:
        raise Broken(f"it is too small to hold {head.size - since:,} entries")
    for place, note in held:
        heads.add(note, place)
    anchors = sorted(name for name in tar.places if name.startswith("anchors/") and name != "anchors/receipts.jsonl")
    for name in ["checkpoints.jsonl", *anchors]:
        for number, line in tar.lines(name):
            heads.add(str(line.get("note")), f"Line {number} of {name}", line.get("size"))
    expected, found = set(tree.names()), {name for name in tar.places if name.startswith("tile/")}
    for name in sorted(expected ^ found)[:MOST_PROBLEMS]:
        report.problem(f"{name} {'is missing from the bundle' if name in expected else 'does not belong to its tree'}.")
    if expected - found:
        return head
    sizes = {one.size for one in heads.places}
    if since and since not in sizes:
        report.problem(f"The bundle begins after {since:,} entries, but nothing in it signs exactly those.")
    entries = Entries(heads, tar.lines("disclosures.jsonl"), complete=since == 0)
    tree.check(report, entries)
    entries.end()
    heads.settle(tree, epoch(head.origin)[1])
    met, early = sum(since <= size <= head.size for size in sizes), sum(size < since for size in sizes)
    report.facts += [
        f"{head.size - since:,} entries of {head.origin} were read, from number {since:,} on; the root over {head.size:,} "
        f"is {head.root.hex()}.",
        f"Every tile, {met:,} signed sizes, {len(entries.numbers):,} writers' numbering, the clock and {entries.opened:,} "
        "disclosures were compared.",
    ]
    if early:
        report.facts.append(f"{early:,} signed sizes lie before the bundle's beginning and could not be compared.")
    if not held:
        report.facts.append(
            "No checkpoint of your own was compared (--held). Keep this one: without it, whoever has the log's key could "
            "show you another ledger next time."
        )
    return head


def compare(one: BinaryIO, other: BinaryIO, keys: list[Key], held: Held) -> Report:
    """Check two bundles, and that the later one continues the earlier one, or states what became of it."""
    report = Report()
    try:
        both = [(open_checkpoint(note, keys), note, file) for file in (one, other) for note in [Tar(file).checkpoint()]]
        both.sort(key=lambda bundle: (epoch(bundle[0].origin)[1], bundle[0].size))
        (head, note, file), (later, _, later_file) = both
        since = Tar(later_file).since(later.size)
    except Broken as problem:
        report.problem(f"The bundles cannot be compared: {problem}.")
        return report
    alone, _ = check_bundle(file, keys, held)
    report, _ = check_bundle(later_file, keys, [*held, ("The checkpoint of the other bundle", note)])
    report.problems = list(dict.fromkeys(alone.problems + report.problems))
    if since > head.size:
        report.problem(
            f"The larger bundle begins after the {head.size:,} entries of the smaller one: they cannot be compared."
        )
    same = head.origin == later.origin
    verb = "larger bundle continues the smaller" if same else "later bundle accounts for the earlier"
    report.facts.append(f"The {verb} one's {head.size:,} entries.")
    return report


def check_receipt(data: bytes, keys: list[Key], held: Held) -> tuple[Report, bytes]:
    """Check a receipt (C2SP tlog-proof with the entry as extra data); the entry's bytes."""
    report, payload = Report(), b""
    try:
        before, _, checkpoint = data.decode("utf-8", "replace").partition("\n\n")
        lines = before.split("\n")
        if lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) < 3 or not lines[1].startswith("extra "):
            raise Broken(
                "this is no receipt: it does not begin with c2sp.org/tlog-proof@v1 and the entry as extra data"
            )
        payload, proof = unbase64(lines[1][6:]), [unbase64(line) for line in lines[3:]]
        index = re.fullmatch(f"index ({NUMBER.pattern})", lines[2], re.ASCII)
        if index is None or any(len(one) != HASH for one in proof):
            raise Broken("its index or its proof cannot be read")
        heads, seq = Heads(keys, report), int(index[1])
        head = heads.add(checkpoint, "The receipt's checkpoint")
        if head is None:
            return report, payload
        if seq >= head.size or root_by_proof(leaf_hash(payload), seq, head.size, proof) != head.root:
            raise Broken("its proof does not lead from the entry to the root that was signed")
        for place, note in held:
            heads.add(note, place)
        if any(one.size == head.size and one.root != head.root for one in heads.places):
            raise Broken(f"another root than the one that you hold is signed over {head.size:,} entries")
        report.facts.append(
            f"This is entry {seq} of the {head.size:,} that {head.origin} signed, root {head.root.hex()}."
        )
    except Broken as problem:
        report.problem(f"The receipt does not hold: {problem}.")
    return report, payload


def read_held(paths: list[str]) -> Held:
    """The checkpoints in files that the caller holds: a note each, or JSON lines with notes."""
    held: Held = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.startswith("{"):
            for number, line in enumerate(text.splitlines(), 1):
                note = json_object(line.encode(), f"line {number} of {path}").get("note")
                held.append((f"Line {number} of what you hold in {path}", str(note)))
        else:
            held.append((f"What you hold in {path}", text))
    return held


def main(arguments: list[str]) -> int:
    """Run from the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for word, count in (("bundle", 1), ("compare", 2), ("receipt", 1)):
        command = commands.add_parser(word)
        command.add_argument("files", nargs=count, metavar="FILE")
        command.add_argument("--key", action="append", required=True, help="the log's public key; repeatable")
        command.add_argument("--held", action="append", default=[], metavar="FILE", help="checkpoints that you kept")
    said, payload = parser.parse_args(arguments), b""
    try:
        keys, held = [parse_key(key) for key in said.key], read_held(said.held)
        files = [open(path, "rb") for path in said.files]  # noqa: SIM115 - closed by the process's end
        if said.command == "bundle":
            report, _ = check_bundle(files[0], keys, held)
        elif said.command == "compare":
            report = compare(files[0], files[1], keys, held)
        else:
            report, payload = check_receipt(files[0].read(LONGEST_LINE), keys, held)
    except (Broken, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"Nothing was checked: {error}.\n")
        return 2
    found = ["IT DOES NOT HOLD.", *report.problems] if report.problems else ["It holds.", *report.facts]
    sys.stdout.write("\n".join([*found, *report.remarks]) + "\n")
    if payload and not report.problems:
        sys.stdout.write(payload.decode("utf-8", "backslashreplace") + "\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
