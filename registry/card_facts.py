"""What evidence says for the sections of a model card, as Markdown that an author may take over. Pure.

The blocks are shown beside the author's words and are no part of what is signed as the card: the evidence has a facet of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

Content = Mapping[str, Any]
METRICS: Final = (
    ("auc", "AUC"),
    ("average_precision", "Average precision"),
    ("accuracy", "Accuracy"),
    ("recall", "Recall"),
    ("precision", "Precision"),
    ("brier", "Brier score"),
    ("ece", "Calibration error"),
)


class Result(Protocol):
    """What is read of a row of evidence."""

    content: Any
    digest: str
    created_at: datetime


@dataclass(frozen=True)
class Block:
    """What evidence says for one section: Markdown, the kinds it is from, and when the newest of them was made (None: no evidence)."""

    section: str
    text: str
    kinds: tuple[str, ...]
    since: datetime | None = None


def blocks(evidence: Mapping[str, Result], *, owner: str, intended_use: str) -> dict[str, Block]:
    """The blocks by section; sections for which nothing is known are left out."""
    found = [
        _block("data", ("data",), evidence, lambda content: _data(content["data"])),
        _block("evaluation", ("metrics",), evidence, lambda content: _evaluation(content["metrics"])),
        _block("ethics", ("fairness",), evidence, lambda content: _fairness(content["fairness"])),
    ]
    given = [Block("owner", owner, ()), Block("intended_use", intended_use.strip(), ())]
    return {block.section: block for block in [*found, *given] if block is not None and block.text}


def is_newer(block: Block, written_at: datetime | None) -> bool:
    """Whether evidence was added after the author last wrote the section, so that the words may be out of date."""
    return block.since is not None and written_at is not None and block.since > written_at


def drafted(sections: Mapping[str, str], inserted: Iterable[str], known: Mapping[str, Block]) -> dict[str, str]:
    """The sections with the blocks of those in `inserted` appended, unless the text stands there already."""
    draft = dict(sections)
    for key in inserted:
        block = known.get(key)
        if block is not None and block.text not in draft.get(key, ""):
            draft[key] = "\n\n".join(filter(None, [draft.get(key, "").strip(), block.text]))
    return draft


def _block(section: str, kinds: tuple[str, ...], evidence: Mapping[str, Result], write: Any) -> Block | None:
    rows = {kind: evidence[kind] for kind in kinds if kind in evidence}
    if len(rows) < len(kinds):
        return None
    text = "\n".join(write({kind: row.content for kind, row in rows.items()}))
    return Block(section, text, kinds, max(row.created_at for row in rows.values()))


def _data(content: Content) -> Iterable[str]:
    if content.get("dataset"):
        rows = f", {_whole(content['rows'])} rows" if _is_number(content.get("rows")) else ""
        yield f"- Dataset: {_plain(content['dataset'])}, version {_plain(content.get('version', '?'))}{rows}"
    for key, years, rows in (("Learned from", "train_years", "train_rows"), ("Tested on", "test_years", "test_rows")):
        parts = [", ".join(_plain(year) for year in content.get(years) or [])]
        parts.append(f"{_whole(content[rows])} rows" if _is_number(content.get(rows)) else "")
        if any(parts):
            yield f"- {key}: {', '.join(filter(None, parts))}"
    for label, name in (("Protected attributes", "protected"), ("Held back from the model", "held_back")):
        if content.get(name):
            yield f"- {label}: {', '.join(_plain(one) for one in content[name])}"


def _evaluation(content: Content) -> Iterable[str]:
    holdout = content.get("holdout") or {}
    if _is_number(holdout.get("rows")):
        yield f"- Judged on {_whole(holdout['rows'])} held-out rows"
    for key, label in METRICS:
        text = _estimate((content.get("metrics") or {}).get(key))
        if text:
            yield f"- {label}: {text}"
    if text := _estimate(content.get("cutoff")):
        yield f"- Decision: positive from a score of {text} on"


def _fairness(content: Content) -> Iterable[str]:
    worst = content.get("worst") or {}
    if text := _points(worst.get("equal_opportunity_gap")):
        yield f"- Widest equal-opportunity gap: {_plain(worst.get('attribute'))}, {_plain(worst.get('group'))}: {text}"
    pair = content.get("worst_intersection") or {}
    if text := _points(pair.get("equal_opportunity_gap")):
        yield f"- By two attributes: {_plain(pair.get('attribute'))}, {_plain(pair.get('group'))}: {text}"
    small = [
        f"{_plain(name)}: {_plain(group.get('group'))}"
        for name, found in (content.get("attributes") or {}).items()
        for group in found.get("groups") or []
        if group.get("sufficient") is False
    ]
    if small:
        yield f"- Too small to judge: {', '.join(small)}"
    done = content.get("mitigation") or {}
    if done.get("method", "none") != "none":
        helped = ", ".join(_plain(one) for one in done.get("attributes") or [])
        yield f"- Mitigation: {_plain(done['method'])}{f', for {helped}' if helped else ''}"


def _estimate(found: Any) -> str:
    if _is_number(found):
        return f"{found:.3f}"
    if not isinstance(found, Mapping) or not _is_number(found.get("value")):
        return ""
    interval = _interval(found, 1, 3)
    return f"{found['value']:.3f}{interval}"


def _points(found: Any) -> str:
    if not isinstance(found, Mapping) or not _is_number(found.get("value")):
        return ""
    return f"{100 * found['value']:.1f} points{_interval(found, 100, 1)}"


def _interval(found: Mapping[str, Any], factor: int, digits: int) -> str:
    ends: Sequence[Any] = [found.get("low"), found.get("high")]
    if not all(_is_number(end) for end in ends):
        return ""
    low, high = (f"{factor * end:.{digits}f}" for end in ends)
    return f" (95% interval {low} to {high})"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> str:
    return f"{int(value):,}"


def _plain(value: Any) -> str:
    """A name from evidence as it is, Markdown's signs made harmless."""
    text = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|~!" else sign for sign in text)
