"""What a version's bytes are: a sorted list of files with size and SHA-256, and which names such a list may hold.

Pure: knows no database and no disk. For registration, admission, pulls and anyone who checks a digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

from countersign.proof.canonical import SHA256, digest_of

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
MAX_DEPTH: Final = 8
MAX_PATH_CHARACTERS: Final = 512


class ManifestRow(TypedDict):
    """One file as the database, the API and the digest hold it."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, order=True, slots=True)
class ManifestFile:
    """One file of a version: its relative POSIX path, its size in bytes, and its SHA-256 as 64 hexadecimal digits."""

    path: str
    size: int
    sha256: str

    def row(self) -> ManifestRow:
        """The file as plain JSON."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason against a file or a tree: a stable code, the path it concerns (empty for the whole), a sentence."""

    code: str
    path: str
    detail: str

    def row(self) -> dict[str, str]:
        """The problem as plain JSON."""
        return asdict(self)


def rows(files: Iterable[ManifestFile]) -> list[ManifestRow]:
    """The files as plain JSON, sorted by path: what is stored and what is hashed."""
    return [file.row() for file in sorted(files)]


def manifest_digest(files: Iterable[ManifestFile]) -> str:
    """The version's digest: SHA-256 of the canonical (RFC 8785) form of the sorted rows."""
    return digest_of(rows(files))


def name_problems(files: Sequence[ManifestFile]) -> list[Problem]:
    """Everything that is wrong with the names of a version's files, and with the form of their digests."""
    problems = [problem for file in files if (problem := path_problem(file.path))]
    problems += _twins(files)
    return problems + [
        Problem("digest-form", file.path, "A SHA-256 is written as 64 lower-case hexadecimal digits.")
        for file in files
        if not SHA256.fullmatch(file.sha256)
    ]


def path_problem(path: str) -> Problem | None:
    """Why `path` may not name a file of a version, or nothing. Only relative paths of plain names pass."""
    if not path or len(path) > MAX_PATH_CHARACTERS:
        return Problem("path-length", path[:80], f"A path has between 1 and {MAX_PATH_CHARACTERS} characters.")
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        return Problem("path-depth", path, f"A path has at most {MAX_DEPTH} levels; this one has {len(names)}.")
    for name in names:
        if not NAME.fullmatch(name):
            return Problem(
                "path-name",
                path,
                f"“{name}” may not be part of a path: names start with a letter, digit or underscore and go on with "
                "letters, digits, underscores, dots and hyphens, at most 128 characters.",
            )
    return None


def _twins(files: Sequence[ManifestFile]) -> list[Problem]:
    """Paths that one file system would hold apart and another would not, and a file that is also a folder."""
    problems = []
    spelling: dict[str, str] = {}
    paths = set()
    folders = set()
    for file in files:
        if file.path in paths:
            problems.append(Problem("path-twice", file.path, "This path is named twice."))
        paths.add(file.path)
        names = file.path.split("/")
        prefixes = ["/".join(names[: end + 1]) for end in range(len(names))]
        folders.update(prefixes[:-1])
        for prefix in prefixes:
            first = spelling.setdefault(prefix.casefold(), prefix)
            if first != prefix:
                problems.append(Problem("path-twin", file.path, f"“{prefix}” and “{first}” differ in case only."))
    problems += [
        Problem("path-file-and-folder", path, "This path is a file and a folder at once.")
        for path in sorted(paths & folders)
    ]
    return problems
