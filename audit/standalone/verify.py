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
from typing import Any, BinaryIO, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH, HASH, BLOCK = 256, 32, 512
LARGEST_ENTRY, LONGEST_LINE = 65_535, 1_000_000
CONTINUED = "/continued-"  # between a log's name and the number of its continuation after a loss
CLOCK_TOLERANCE_US = 5 * 60 * 1_000_000
MOST_PROBLEMS = 100
NAMES = re.compile(
    r"README\.txt|bundle\.json|checkpoint|checkpoints\.jsonl|disclosures\.jsonl|keys|policy|verify\.py"
    r"|anchors/[a-z0-9-]{1,60}\.jsonl|tile/(?:entries|[0-9]|[1-9][0-9])/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?",
    re.ASCII,
)


class Broken(Exception):
    """The bytes are not what they should be; the sentence says which and why."""


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


class Statement(NamedTuple):
    """What the first entry of a continuation states: how much was kept, why, and the largest head of each name that was given up."""

    kept: int
    reason: str
    lost: list[tuple[str, int, str]]

    def covers(self, head: Head) -> bool:
        """Whether it states this head, or a larger one of the same name."""
        return any(
            origin == head.origin and (size > head.size or (size == head.size and root == head.root.hex()))
            for origin, size, root in self.lost
        )

    def sentence(self) -> str:
        """The loss, for a person."""
        what = "; ".join(f"{size - self.kept:,} entries of {origin}, up to {size:,}" for origin, size, _ in self.lost)
        what = f"given up: {what}" if what else "it is not known whether anything was lost"
        return f"The ledger was recovered at {self.kept:,} entries; {what}. Entry {self.kept} states it and why: {self.reason}"


class Report:
    """What was found, in sentences: problems, remarks that must not go unsaid, and what was checked."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.facts: list[str] = []

    def problem(self, sentence: str) -> None:
        """Add a problem; one fault can show a million times, so the first hundred are kept."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(sentence)
        elif len(self.problems) == MOST_PROBLEMS:
            self.problems.append("And more problems of these kinds.")


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


def unbase64(text: str) -> bytes:
    """Decode strict base64."""
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:  # not base64, or not ASCII
        raise Broken("what should be base64 is not") from error


def open_checkpoint(note: str, keys: list[Key]) -> Head:
    """The head of a checkpoint that a key in `keys` has signed for the log of its own name (C2SP tlog-checkpoint)."""
    body, separator, signatures = note.rpartition("\n\n")
    lines = body.split("\n")
    if not separator or not signatures.endswith("\n") or len(lines) < 3 or len(note) > LONGEST_LINE:
        raise Broken("it is not a signed checkpoint")
    origin, size, root = lines[0], lines[1], unbase64(lines[2])
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size, re.ASCII) or len(root) != HASH:
        raise Broken("its size or its root cannot be read")
    text, signed = (body + "\n").encode(), False
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        blob = unbase64(encoded)
        for key in keys:
            if dash != "—" or name != key.name or blob[:4] != sha256(name.encode() + b"\n\x01" + key.raw).digest()[:4]:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key.raw).verify(blob[4:], text)
            except InvalidSignature as error:
                raise Broken(f"the signature of {name} does not fit it") from error
            covers = key.first <= int(size) and (key.last is None or int(size) <= key.last)
            signed = signed or (name == origin and covers)
    if not signed:
        raise Broken("no key that you gave has signed it, or may sign it")
    return Head(origin, int(size), root)


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def tree_root(hashes: list[bytes], right: bytes | None = None) -> bytes | None:
    """The root over subtrees of one height and a smaller tree to their right; None where there is neither."""
    while len(hashes) > 1:
        if len(hashes) % 2:
            right = hashes[-1] if right is None else node_hash(hashes[-1], right)
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes) - 1, 2)]
    return (hashes[0] if right is None else node_hash(hashes[0], right)) if hashes else right


class Tree:
    """The right edge of a growing tree: `levels[i]` holds the hashes of the tile at level i that is not full yet."""

    def __init__(self, size: int = 0, levels: list[list[bytes]] | None = None) -> None:
        self.size, self.levels = size, levels or []

    def add(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take one more entry; the tiles that it fills: level, number, bytes."""
        self.size, level = self.size + 1, 0
        while True:
            if level == len(self.levels):
                self.levels.append([])
            tile = self.levels[level]
            tile.append(leaf)
            if len(tile) < WIDTH:
                return
            yield level, (self.size >> 8 * (level + 1)) - 1, b"".join(tile)
            leaf = tree_root(tile) or b""
            tile.clear()
            level += 1

    def root(self) -> bytes:
        """The root over all entries so far."""
        root: bytes | None = None
        for tile in self.levels:
            root = tree_root(list(tile), root)
        return sha256(b"").digest() if root is None else root


def root_by_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """The root to which a proof leads (RFC 9162, section 2.1.3.2); None where it is too long or too short."""
    last, result = size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if index & 1 or index == last:
            result = node_hash(sibling, result)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        index, last = index >> 1, last >> 1
    return result if last == 0 else None


class Tar:
    """The files of a bundle, read in place: plain files under the names of a bundle, each once; anything else is refused."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.places = file, dict[str, tuple[int, int]]()
        self.size = end = file.seek(0, os.SEEK_END)
        position = 0
        while True:
            file.seek(position)
            header = file.read(BLOCK)
            if header == bytes(BLOCK):
                break
            if len(header) < BLOCK or header[257:262] != b"ustar":
                raise Broken(
                    f"it is not a whole, uncompressed tar file: it is cut short, or something else, from byte {position} on"
                )
            name, size = self._member(header)
            position += BLOCK
            if position + size > end:
                raise Broken(f"the tar file ends within {name}")
            if name in self.places:
                raise Broken(f"the tar file holds {name} twice")
            self.places[name] = (position, size)
            position += -(-size // BLOCK) * BLOCK
        while rest := file.read(BLOCK * 128):
            if rest.strip(b"\x00"):
                raise Broken("the tar file goes on after its end")

    @staticmethod
    def _member(header: bytes) -> tuple[str, int]:
        name = header[:100].rstrip(b"\x00").decode("ascii", "backslashreplace")
        try:
            checksum = int(header[148:154], 8)
            octal = header[124:136].rstrip(b"\x00 ")
            size = int.from_bytes(header[125:136], "big") if header[124] == 0x80 else int(octal, 8)
        except ValueError as error:
            raise Broken(f"the tar header of {name[:99]!r} cannot be read") from error
        if checksum != sum(header) - sum(header[148:156]) + 8 * 32:
            raise Broken(f"the tar header of {name[:99]!r} is damaged")
        if header[156:157] != b"0" or header[345:500].strip(b"\x00") or not NAMES.fullmatch(name):
            raise Broken(f"the tar file holds {name[:99]!r}, which is not a plain file of a bundle")
        return name, size

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
        """The numbered JSON objects of a file of lines, read piece by piece; none where there is no such file."""
        position, size = self.places.get(name, (0, 0))
        end, number = position + size, 0
        while position < end:
            self.file.seek(position)
            line = self.file.readline(min(LONGEST_LINE, end - position))
            position, number = position + len(line), number + 1
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Broken(f"line {number} of {name} cannot be read") from error
            if not isinstance(found, dict):
                raise Broken(f"line {number} of {name} is no object")
            yield number, found


def tile_name(kind: str, n: int, width: int = WIDTH) -> str:
    """The path of a tile or entry bundle (C2SP tlog-tiles), such as tile/0/x001/x234/067.p/12."""
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03}")
    return f"tile/{kind}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


def tile_names(size: int, since: int) -> Iterator[str]:
    """Every tile and entry bundle that a bundle from `since` to `size` has to hold."""
    for level in range(8):
        full, width = divmod(size >> 8 * level, WIDTH)
        for kind in (str(level), "entries")[: 1 if level else 2]:
            yield from (tile_name(kind, n) for n in range(since >> 8 * (level + 1), full))
            if width:
                yield tile_name(kind, full, width)


def epoch(name: str) -> tuple[str, int]:
    """A log's own name, and which continuation of it this is; 1 before any loss."""
    base, _, number = name.partition(CONTINUED)
    return base, int(number) if re.fullmatch("[0-9]{1,9}", number, re.ASCII) else 1


class Heads:
    """The signed heads that the tree has to meet, at each size, with the first place that claims each.

    A head that a later continuation of the ledger has given up cannot be met; its first entry has to state it.
    """

    def __init__(self, keys: list[Key], report: Report) -> None:
        self.keys, self.report = keys, report
        self.signed: dict[int, dict[Head, str]] = {}
        self.seen: set[bytes] = set()
        self.own = 1  # which continuation the bundle is of
        self.given_up: list[tuple[Head, str]] = []
        self.statements: dict[int, Statement] = {}
        # How many entries each continuation took over: as its key's range says, else as its own first entry does.
        self.taken_over: dict[str, int] = {}
        for key in sorted(keys, key=lambda key: key.first):
            if CONTINUED in key.name and key.first:
                self.taken_over.setdefault(key.name, key.first - 1)

    def add(self, note: str, place: str, size: int | None = None) -> Head | None:
        """Take a checkpoint; the head where its signature holds. `size` is the one under which it was filed."""
        note = note.encode("utf-8", "replace").decode()  # JSON can hold what is no text: lone surrogates
        digest = sha256(note.encode()).digest()
        try:
            head = open_checkpoint(note, self.keys) if digest not in self.seen else None
        except Broken as problem:
            self.report.problem(f"{place} is not to be believed: {problem}.")
            return None
        if head is not None:
            self.seen.add(digest)
            self.signed.setdefault(head.size, {}).setdefault(head, place)
            if size is not None and head.size != size:
                self.report.problem(f"{place} is filed under {size} entries but signs {head.size}.")
        return head

    def add_lines(self, tar: Tar, name: str) -> None:
        """Take every checkpoint of a file of the bundle."""
        for number, line in tar.lines(name):
            self.add(str(line.get("note")), f"Line {number} of {name}", line.get("size"))

    def meet(self, tree: Tree) -> None:
        """Compare the tree as it is now with every head of its size."""
        root = tree.root()
        for head, place in self.signed.get(tree.size, {}).items():
            if self.left_out(head):
                self.given_up.append((head, place))
            elif head.root != root and epoch(head.origin)[1] <= self.own:
                self.report.problem(
                    f"The first {tree.size:,} entries are not the ones that were signed: {place} says root "
                    f"{head.root.hex()}, the entries give {root.hex()}."
                )

    def reach(self, last: int) -> None:
        """After the last entry: nothing that goes on from here may be signed; heads that were given up do not."""
        heads = [
            (head, self.signed[size][head]) for size in sorted(self.signed, reverse=True) for head in self.signed[size]
        ]
        self.given_up += [(head, place) for head, place in heads if head.size > last and self.left_out(head)]
        for head, place in heads:
            if epoch(head.origin)[1] > self.own or (head.size > last and not self.left_out(head)):
                what = f"{head.size:,}" if epoch(head.origin)[1] <= self.own else f"{head.size:,} of {head.origin}"
                self.report.problem(f"The bundle ends at {last:,} entries, but {place} signs {what}: it was cut short.")
                return

    def left_out(self, head: Head) -> list[int]:
        """The sizes at which later continuations left out entries that this head signs."""
        base, number = epoch(head.origin)
        later = (
            kept
            for name, kept in self.taken_over.items()
            if epoch(name)[0] == base and number < epoch(name)[1] <= self.own
        )
        return [kept for kept in later if kept < head.size]

    def state(self, seq: int, entry: dict[str, Any]) -> None:
        """Take what the first entry of a continuation states."""
        try:
            after = entry["d"]["after"]
            lost = [(str(one["origin"]), int(one["size"]), str(one["root"])) for one in after["lost"]]
            name, kept, reason = str(after["origin"]), after["kept"], str(after["reason"])
        except (KeyError, TypeError, ValueError):
            return
        self.statements[seq] = Statement(seq, reason, lost)
        if kept == seq and CONTINUED in name and name in {key.name for key in self.keys}:
            self.taken_over.setdefault(name, seq)

    def account(self, since: int) -> None:
        """Say what was given up, and hold against the ledger what nobody stated."""
        for head, place in self.given_up:
            kept = self.left_out(head)
            if any(at in self.statements and self.statements[at].covers(head) for at in kept):
                continue
            if any(at < since for at in kept):
                self.report.remarks.append(
                    f"{place} signs {head.size:,} entries of {head.origin}, which was recovered at {min(kept):,}; what became of them is "
                    "stated before this bundle's beginning and could not be compared."
                )
            else:
                self.report.problem(
                    f"The ledger {head.origin} had {head.size:,} signed entries ({place}), and what continues it does not say what became "
                    "of them."
                )
        known = {kept for name, kept in self.taken_over.items() if epoch(name)[1] <= self.own}
        stated = (self.statements.get(kept) for kept in sorted(known))
        self.report.remarks += [statement.sentence() for statement in stated if statement is not None]


class Entries:
    """Reads what the entries say: writers' own numbering, the clock, and that what is disclosed is what was committed to."""

    def __init__(self, heads: Heads, disclosures: Iterator[tuple[int, dict[str, Any]]], *, complete: bool) -> None:
        self.heads, self.report, self.disclosures, self.complete = heads, heads.report, disclosures, complete
        self.numbers: dict[str, set[int]] = {}
        self.opened = self.latest = 0
        self.next = next(disclosures, None)

    def read(self, seq: int, payload: bytes) -> None:
        """Check one entry."""
        try:
            entry = json.loads(payload)
            writer, n, previous, t, digests = (entry[name] for name in ("w", "n", "p", "t", "sd"))
            if not (isinstance(writer, str) and all(type(one) is int for one in (n, previous, t))):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            self.report.problem(f"Entry {seq} cannot be read.")
            return
        if entry.get("action") == "ledger.recover":
            self.heads.state(seq, entry)
        self._number(seq, writer, n, previous)
        if t < self.latest - CLOCK_TOLERANCE_US:
            minutes = (self.latest - t) // 60_000_000
            self.report.problem(f"Entry {seq} is dated {minutes} minutes before an entry that was logged earlier.")
        self.latest = max(self.latest, t)
        self._disclosed(seq, digests)

    def _number(self, seq: int, writer: str, n: int, previous: int) -> None:
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

    def _disclosed(self, seq: int, digests: object) -> None:
        while self.next is not None and self.next[1].get("seq") == seq:
            openings = self.next[1].get("disclosures")
            for opening in openings if isinstance(openings, list) else [openings]:
                canonical = json.dumps(opening, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
                digest = urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode()
                if not isinstance(digests, list) or digest not in digests:
                    self.report.problem(f"What is disclosed of entry {seq} is not what the entry commits to.")
                self.opened += 1
            self.next = next(self.disclosures, None)

    def end(self) -> None:
        """After the last entry: nothing may be disclosed of others, or out of order."""
        if self.next is not None:
            self.report.problem(
                f"Line {self.next[0]} of disclosures.jsonl is of no entry of this bundle, or out of order."
            )


def decode_entries(bundle: bytes, name: str, count: int) -> list[bytes]:
    """The entries of an entry bundle, each preceded by its length in two bytes."""
    entries: list[bytes] = []
    position = 0
    while position < len(bundle):
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        entries.append(bundle[start:position])
    if position != len(bundle) or len(entries) != count:
        raise Broken(f"{name} does not hold {count} whole entries")
    return entries


def check_bundle(file: BinaryIO, keys: list[Key], held: list[tuple[str, str]]) -> tuple[Report, Head | None]:
    """Check a bundle against the keys and the checkpoints that the caller holds (place and note of each)."""
    report = Report()
    try:
        return report, _check_bundle(Tar(file), keys, held, report)
    except Broken as problem:
        report.problem(f"The bundle cannot be read: {problem}.")
        return report, None


def _check_bundle(tar: Tar, keys: list[Key], held: list[tuple[str, str]], report: Report) -> Head | None:
    heads = Heads(keys, report)
    head = heads.add(tar.read("checkpoint", LONGEST_LINE).decode("utf-8", "replace"), "The checkpoint of the bundle")
    if head is None:
        return None
    since, heads.own = _since(tar, head), epoch(head.origin)[1]
    if (head.size - since) * (HASH + 2) > tar.size:
        raise Broken(f"it is too small to hold {head.size - since:,} entries")
    for place, note in held:
        heads.add(note, place)
    anchors = sorted(name for name in tar.places if name.startswith("anchors/") and name != "anchors/receipts.jsonl")
    for name in ["checkpoints.jsonl", *anchors]:
        heads.add_lines(tar, name)
    expected = set(tile_names(head.size, since))
    found = {name for name in tar.places if name.startswith("tile/")}
    for what, names in (
        ("is missing from the bundle", expected - found),
        ("does not belong to its tree", found - expected),
    ):
        for name in sorted(names)[:MOST_PROBLEMS]:
            report.problem(f"{name} {what}.")
    if expected - found:
        return head
    entries = Entries(heads, tar.lines("disclosures.jsonl"), complete=since == 0)
    _walk(tar, since, head.size, heads, entries)
    entries.end()
    heads.reach(head.size)
    heads.account(since)
    _facts(report, head, since, heads, entries, len(held))
    return head


def _since(tar: Tar, head: Head) -> int:
    try:
        said = json.loads(tar.read("bundle.json", 10_000))
        since = said["since"]
        if said["format"] != "countersign.ledger-bundle@v1" or type(since) is not int or not 0 <= since <= head.size:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken("bundle.json does not say where the bundle begins") from error
    return since


def _walk(tar: Tar, since: int, size: int, heads: Heads, entries: Entries) -> None:
    """Hash every entry from `since` to `size`; compare all tiles on the way, and the root at every signed size."""
    report, levels, level = heads.report, list[list[bytes]](), 0
    while since >> 8 * level:
        n, width = divmod(since >> 8 * level, WIDTH)
        tile = tar.read(tile_name(str(level), n, _width(level, n, size)), WIDTH * HASH) if width else b""
        levels.append([tile[at : at + HASH] for at in range(0, width * HASH, HASH)])
        level += 1
    tree = Tree(since, levels)
    if since and since not in heads.signed:
        report.problem(f"The bundle begins after {since:,} entries, but nothing in it signs exactly those.")
    heads.meet(tree)
    for n in range(since // WIDTH, -(-size // WIDTH)):
        width = _width(0, n, size)
        name = tile_name("entries", n, width)
        payloads = decode_entries(tar.read(name, WIDTH * (LARGEST_ENTRY + 2)), name, width)
        hashes = [leaf_hash(payload) for payload in payloads]
        # The tile of a bundle's first entries begins before `since`, so it is compared with the entries themselves.
        _compare(tar, report, tile_name("0", n, width), b"".join(hashes))
        for seq in range(max(since, n * WIDTH), n * WIDTH + width):
            entries.read(seq, payloads[seq % WIDTH])
            for level, number, tile in tree.add(hashes[seq % WIDTH]):
                if level:
                    _compare(tar, report, tile_name(str(level), number), tile)
            if tree.size in heads.signed:
                heads.meet(tree)
    for level, hashes in enumerate(tree.levels):
        if level and hashes:
            _compare(tar, report, tile_name(str(level), size >> 8 * (level + 1), len(hashes)), b"".join(hashes))


def _width(level: int, n: int, size: int) -> int:
    return min(WIDTH, (size >> 8 * level) - n * WIDTH)


def _compare(tar: Tar, report: Report, name: str, computed: bytes) -> None:
    if tar.read(name, WIDTH * HASH) != computed:
        report.problem(f"{name} is not what the entries give.")


def _facts(report: Report, head: Head, since: int, heads: Heads, entries: Entries, held: int) -> None:
    met = sum(1 for size in heads.signed if since <= size <= head.size)
    report.facts += [
        f"{head.size - since:,} entries of {head.origin} were read, from number {since:,} on; the root over {head.size:,} "
        f"is {head.root.hex()}.",
        f"Every tile, {met:,} signed sizes, {len(entries.numbers):,} writers' numbering, the clock and {entries.opened:,} "
        "disclosures were compared.",
    ]
    if early := sum(1 for size in heads.signed if size < since):
        report.facts.append(f"{early:,} signed sizes lie before the bundle's beginning and could not be compared.")
    if not held:
        report.facts.append(
            "No checkpoint of your own was compared (--held). Keep this one: without it, whoever has the log's key could "
            "show you another ledger next time."
        )


def check_receipt(data: bytes, keys: list[Key], held: list[tuple[str, str]]) -> tuple[Report, bytes]:
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
        if not re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[2], re.ASCII) or any(
            len(one) != HASH for one in proof
        ):
            raise Broken("its index or its proof cannot be read")
        heads, seq = Heads(keys, report), int(lines[2][6:])
        head = heads.add(checkpoint, "The receipt's checkpoint")
        if head is None:
            return report, payload
        if seq >= head.size or root_by_proof(leaf_hash(payload), seq, head.size, proof) != head.root:
            raise Broken("its proof does not lead from the entry to the root that was signed")
        for place, note in held:
            heads.add(note, place)
        if len({one.root for one in heads.signed[head.size]}) > 1:
            raise Broken(f"another root than the one that you hold is signed over {head.size:,} entries")
        report.facts.append(
            f"This is entry {seq} of the {head.size:,} that {head.origin} signed, root {head.root.hex()}."
        )
    except Broken as problem:
        report.problem(f"The receipt does not hold: {problem}.")
    return report, payload


def compare(older: BinaryIO, newer: BinaryIO, keys: list[Key], held: list[tuple[str, str]]) -> Report:
    """Check two bundles, and that the later one continues the earlier one, or states what became of it."""
    checked = [(*check_bundle(file, keys, held), file) for file in (older, newer)]
    checked.sort(key=lambda one: (epoch(one[1].origin)[1], one[1].size) if one[1] else (-1, -1))
    (report, head, file), (later, later_head, later_file) = checked
    report.problems += later.problems
    if head is None or later_head is None:
        return report
    file.seek(0)
    note = Tar(file).read("checkpoint", LONGEST_LINE).decode("utf-8", "replace")
    together, _ = check_bundle(later_file, keys, [*held, ("The checkpoint of the other bundle", note)])
    report.problems += [sentence for sentence in together.problems if sentence not in report.problems]
    if _since(Tar(later_file), later_head) > head.size:
        report.problem(
            f"The larger bundle begins after the {head.size:,} entries of the smaller one: they cannot be compared."
        )
    verb = (
        "larger bundle continues the smaller"
        if head.origin == later_head.origin
        else "later bundle accounts for the earlier"
    )
    report.facts = [*together.facts, f"The {verb} one's {head.size:,} entries."]
    report.remarks = together.remarks
    return report


def read_held(paths: list[str]) -> list[tuple[str, str]]:
    """The checkpoints in files that the caller holds: a note each, or JSON lines with notes."""
    held = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if not text.startswith("{"):
            held.append((f"What you hold in {path}", text))
            continue
        for number, line in enumerate(text.split("\n"), 1):
            try:
                held += [(f"Line {number} of what you hold in {path}", json.loads(line)["note"])] if line else []
            except (ValueError, KeyError, TypeError) as error:
                raise Broken(f"line {number} of {path} is no checkpoint") from error
    return held


def main(arguments: list[str]) -> int:
    """Run from the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for word, count in (("bundle", 1), ("compare", 2), ("receipt", 1)):
        command = commands.add_parser(word)
        command.add_argument("files", nargs=count, metavar="FILE")
        command.add_argument(
            "--key", action="append", required=True, metavar="KEY", help="the log's public key; repeatable"
        )
        command.add_argument("--held", action="append", default=[], metavar="FILE", help="checkpoints that you kept")
    said = parser.parse_args(arguments)
    payload = b""
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
    for line in [*found, *report.remarks]:
        sys.stdout.write(f"{line}\n")
    if payload and not report.problems:
        sys.stdout.write(payload.decode("utf-8", "backslashreplace") + "\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
