"""How much a version may hold, and what is wrong with a list of its files: the names by `countersign.proof.manifest`, the sizes here.

Pure: knows no database and no disk. For registration and admission.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from countersign.proof.manifest import ManifestFile, Problem, name_problems
from foundation.refusals import Invalid, TooLarge


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one version may hold: bytes in one file, bytes in all, number of files."""

    file_bytes: int = 2 * 1024**3
    version_bytes: int = 4 * 1024**3
    files: int = 500


def tree_problems(files: Sequence[ManifestFile], limits: Limits = Limits()) -> list[Problem]:
    """Everything that is wrong with the names, digests and sizes of a version's files."""
    return name_problems(files) + _size_problems(files, limits)


def check_tree(files: Sequence[ManifestFile], limits: Limits = Limits()) -> None:
    """Raise `Invalid` (or `TooLarge`) naming every problem of the tree; pass in silence otherwise."""
    problems = tree_problems(files, limits)
    if not problems:
        return
    sentence = " ".join(
        f"{problem.path}: {problem.detail}" if problem.path else problem.detail for problem in problems[:5]
    )
    if all(problem.code.startswith("too-") for problem in problems):
        raise TooLarge(sentence, code=problems[0].code)
    raise Invalid(
        sentence, code=problems[0].code, errors={problem.path or "files": problem.detail for problem in problems}
    )


def _size_problems(files: Sequence[ManifestFile], limits: Limits) -> list[Problem]:
    problems = []
    if not files:
        problems.append(Problem("no-files", "", "A version has at least one file."))
    if len(files) > limits.files:
        problems.append(
            Problem("too-many-files", "", f"A version has at most {limits.files:,} files; this one has {len(files):,}.")
        )
    total = sum(file.size for file in files)
    if total > limits.version_bytes:
        problems.append(
            Problem("too-large", "", f"A version has at most {limits.version_bytes:,} bytes; this one has {total:,}.")
        )
    for file in files:
        if file.size < 0:
            problems.append(Problem("size-negative", file.path, "A size is zero or more bytes."))
        if file.size > limits.file_bytes:
            problems.append(
                Problem(
                    "too-large-file",
                    file.path,
                    f"A file has at most {limits.file_bytes:,} bytes; this one has {file.size:,}.",
                )
            )
    return problems
