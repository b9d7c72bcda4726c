"""Decides how a document that people write (a policy) is read, and how all that is wrong with it is told. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from foundation.refusals import Invalid

D = TypeVar("D", bound=msgspec.Struct)


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a document: where (`gates[2].passes`), what, and the position inside an expression."""

    where: str
    detail: str
    line: int = 0
    column: int = 0

    @property
    def sentence(self) -> str:
        """Position and detail, for people."""
        place = f", line {self.line}, column {self.column}" if self.line else ""
        return f"{self.where}{place}: {self.detail}"


def refusal(flaws: Sequence[Flaw]) -> Invalid:
    """The refusal that lists `flaws`; `extra["flaws"]` has their positions for machines."""
    rows = [{"where": flaw.where, "detail": flaw.detail, "line": flaw.line, "column": flaw.column} for flaw in flaws]
    return Invalid(
        f"This policy cannot be saved: {flaws[0].sentence}"
        + (f" And {len(flaws) - 1} more." if len(flaws) > 1 else ""),
        code="policy-invalid",
        errors={flaw.where: flaw.sentence for flaw in reversed(flaws)},
        extra={"flaws": rows},
    )


def read(text: str) -> dict[str, Any]:
    """JSON text as content; raises `Invalid` with line and column where it is not a JSON object."""
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise refusal([Flaw("text", f"{error.msg}.", error.lineno, error.colno)]) from error
    except ValueError as error:
        raise refusal([Flaw("text", str(error))]) from error
    if not isinstance(found, dict):
        raise refusal([Flaw("text", "A policy is a JSON object.", 1, 1)])
    return found


def examined(
    content: Mapping[str, Any], kind: type[D], *, most: Mapping[str, int], flaws: Callable[[D], Iterable[Flaw]]
) -> tuple[D | None, list[Flaw]]:
    """The content as a document of this kind, as far as it can be read, and everything that is wrong with it, `flaws` included.

    `most`: how long its lists may be. One that is far too long is not read at all.
    """
    for part, limit in most.items():
        rows = content.get(part) if isinstance(content, Mapping) else None
        if isinstance(rows, Sequence) and len(rows) > limit:
            return None, [Flaw(part, f"At most {limit} {part}; this has {len(rows)}.")]
    document = _converted(content, kind)
    return (None, [document]) if isinstance(document, Flaw) else (document, list(flaws(document)))


def _converted(content: object, kind: type[D]) -> D | Flaw:
    """The content as a document of this kind, which is closed: unknown keys are a flaw, and so is what has another type."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        detail, _, where = str(error).partition(" - at ")
        return Flaw(where.strip("`").removeprefix("$.").replace("$", "policy") or "policy", f"{detail}.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"The key {key} stands twice in one object.")
        found[key] = value
    return found
