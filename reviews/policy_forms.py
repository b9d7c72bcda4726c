"""Decides how the text of a policy is shown as a form, and how what was typed becomes the text again. Pure.

Both are views of one content. What does not fit its field (letters where a number belongs) goes into the text as it was typed, so
switching loses nothing; a text whose shape the form cannot show stays a text until it is mended. The name of a control is the place
that a flaw names (`gates[2].passes`), so errors find their field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import msgspec

from foundation.cel import Checked
from foundation.documents import Flaw
from reviews.facts import LANGUAGE
from reviews.policies import (
    FACETS,
    METHOD_WORDS,
    SECTIONS,
    Applies,
    Approvers,
    BreakGlassRule,
    Conditions,
    Gate,
    PolicyDocument,
    SlotRule,
    Tile,
    Unit,
)

TEXT, AREA, RULE, NUMBER, FLAG, ONE, MANY, LINES, NUMBERS = (
    "text",
    "area",
    "rule",
    "number",
    "flag",
    "one",
    "many",
    "lines",
    "numbers",
)
NO_CHOICE: Final = ("", "nobody")


class Posted(Protocol):
    """What a form sent: Django's QueryDict."""

    def get(self, key: str, default: str, /) -> Any:
        """The last value of a name."""

    def getlist(self, key: str, /) -> list[Any]:
        """All values of a name."""

    def __contains__(self, key: object, /) -> bool:
        """Whether it was sent."""


@dataclass(frozen=True)
class Spec:
    """One control: its name within its part, label, kind, hint and choices (`groups` and `stages` are filled in from the installation)."""

    name: str
    label: str
    kind: str = TEXT
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    source: str = ""
    boolean: bool = True
    wide: bool = False


def _plain(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name.replace("_", " ").replace("-", " ")) for name in names)


GATE_SPECS: Final = (
    Spec("title", "Title", hint="What holds when the gate passes."),
    Spec("key", "Key", hint="Small letters, digits and hyphens."),
    Spec("section", "Shown in", ONE, choices=_plain(SECTIONS)),
    Spec("passes", "Passes when", RULE, "A CEL expression over the facts.", wide=True),
    Spec("when", "Applies when", RULE, "true: always.", wide=True),
    Spec(
        "enough",
        "Enough evidence when",
        RULE,
        "Where it does not hold, the result is “insufficient evidence”.",
        wide=True,
    ),
    Spec("shows", "Shows", RULE, "What is measured; empty: the left side of the rule.", boolean=False, wide=True),
    Spec("requires", "Required, in words", hint="Empty: taken from the rule."),
    Spec("unit", "Numbers are", ONE, choices=_plain(Unit)),
    Spec("explanation", "Why", AREA, "A refusal shows it to people.", wide=True),
    Spec("cleared_by", "Who can clear it"),
    Spec("excepted_by", "Sign-off that may except it", ONE, source="slots"),
    Spec("source", "Source", hint="The clause that it follows from."),
    Spec("warning", "Only a warning: shown, and does not block", FLAG),
)
SLOT_SPECS: Final = (
    Spec("title", "Title", hint="The capacity in which somebody signs."),
    Spec("key", "Key", hint="Small letters, digits and hyphens."),
    Spec("group", "Group", ONE, source="groups"),
    Spec("people", "People", NUMBER, "1 to 9 distinct people."),
    Spec("alternates", "If nobody there is independent", ONE, source="alternates"),
    Spec("answers_for", "Answers for", MANY, choices=_plain(FACETS), wide=True),
    Spec("delegable", "May be delegated", FLAG),
    Spec("source", "Source", hint="The clause that it follows from."),
)
TILE_SPECS: Final = (
    Spec("label", "Label"),
    Spec("section", "Leads to", ONE, choices=_plain(SECTIONS)),
    Spec("shows", "Shows", RULE, "A CEL expression.", boolean=False, wide=True),
    Spec("better", "Better is", ONE, choices=_plain(("higher", "lower"))),
    Spec("unit", "Numbers are", ONE, choices=_plain(Unit)),
    Spec("gate", "Limit from gate", hint="A gate's key."),
    Spec("difference", "Paired difference", hint="The fact with its interval, such as comparison.auc_difference."),
)
HEADER_GROUPS: Final[tuple[tuple[str, tuple[Spec, ...]], ...]] = (
    (
        "What it is for",
        (
            Spec("title", "Title"),
            Spec("applies_to.stage", "Stage", ONE, source="stages"),
            Spec("applies_to.tiers", "Tiers", MANY, choices=(("1", "1, high"), ("2", "2, medium"), ("3", "3, low"))),
            Spec("summary", "Summary", AREA, wide=True),
        ),
    ),
    (
        "Time",
        (
            Spec("due_days", "Days to review", NUMBER),
            Spec("valid_months", "Months that an approval lasts", NUMBER),
            Spec("remind_days", "Remind so many days before the end", NUMBERS, "Separated by commas."),
            Spec("pulls_after_expiry_days", "Days that pulls go on after the end", NUMBER),
            Spec("grace_days", "Days of grace for live versions when this text comes into force", NUMBER),
            Spec(
                "overdue.then",
                "When nobody decides in time",
                ONE,
                choices=(("", "nothing"), ("escalate", "escalate"), ("reject", "reject")),
            ),
            Spec("overdue.after_days", "So many days past the due date", NUMBER),
            Spec("overdue.to", "Escalate to", ONE, source="groups"),
        ),
    ),
    (
        "How people sign",
        (
            Spec("reauthentication", "A signer confirms with", MANY, choices=tuple(METHOD_WORDS.items())),
            Spec("conditions.allowed", "Approvals may carry conditions", FLAG),
            Spec("conditions.at_most_days", "Conditions are due within days", NUMBER),
            Spec("envelopes", "Retraining envelopes may be signed", FLAG),
            Spec("break_glass.allowed", "Break-glass is allowed", FLAG),
            Spec("break_glass.hours", "Hours that a break-glass lasts", NUMBER),
            Spec("break_glass.seconded_by", "Seconded by", ONE, source="groups"),
            Spec("changed_by.group", "The next version is signed by", ONE, source="groups"),
            Spec("changed_by.people", "So many of them", NUMBER),
        ),
    ),
    (
        "Whose evidence counts",
        (
            Spec(
                "producers",
                "Producers",
                LINES,
                "One a line: worker:training, worker:admission, group:<name>, service:<account>, person:<username>. Empty: everybody.",
                wide=True,
            ),
        ),
    ),
)
PARTS: Final[Mapping[str, tuple[Spec, ...]]] = {"gates": GATE_SPECS, "slots": SLOT_SPECS, "tiles": TILE_SPECS}
_TYPES: Final[Mapping[str, type[msgspec.Struct]]] = {"gates": Gate, "slots": SlotRule, "tiles": Tile}
_NESTED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "applies_to": Applies,
    "conditions": Conditions,
    "break_glass": BreakGlassRule,
    "changed_by": Approvers,
}
NEW: Final[Mapping[str, Mapping[str, Any]]] = {
    "gates": {"key": "", "title": "", "section": "gates", "passes": "", "explanation": "", "cleared_by": ""},
    "slots": {"key": "", "title": "", "group": "", "answers_for": list(FACETS)},
    "tiles": {"label": "", "shows": "", "section": "performance"},
}
BEGINNING: Final[Mapping[str, Any]] = {
    "title": "",
    "applies_to": {"stage": "production", "tiers": [1]},
    "gates": [
        {
            "key": "scan",
            "title": "Files were admitted by the scan",
            "section": "supply-chain",
            "passes": "scan.admitted",
            "explanation": "A version that was not admitted may run code of its own when it is loaded.",
            "cleared_by": "The author, by registering files that the scan admits",
        }
    ],
    "slots": [
        {"key": "validator", "title": "Model validator", "group": "Model validation", "answers_for": list(FACETS)}
    ],
}


@dataclass(frozen=True)
class Control:
    """One control with what stands in it, and what is wrong with that."""

    spec: Spec
    name: str
    value: Any
    choices: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()
    checked: Checked | None = None

    @property
    def id(self) -> str:
        """Its id in the page."""
        return control_id(self.name)

    @property
    def values(self) -> list[str]:
        """What is ticked, of many."""
        return [str(one) for one in self.value] if isinstance(self.value, list) else []


@dataclass(frozen=True)
class Card:
    """One gate, slot or tile with its controls."""

    part: str
    number: int
    controls: tuple[Control, ...]
    errors: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its id in the page."""
        return f"{self.part}-{self.number}"

    @property
    def title(self) -> str:
        """What it is called; empty where it was not named yet."""
        return str(self.controls[0].value or "")


@dataclass(frozen=True)
class FormView:
    """The whole form, ready to be drawn; `errors` are those that belong to no control."""

    groups: tuple[tuple[str, tuple[Control, ...]], ...]
    cards: Mapping[str, tuple[Card, ...]]
    errors: tuple[str, ...] = ()


def check_expression(expression: str, *, boolean: bool = True, optional: bool = False) -> Checked:
    """Type-check one expression, with the place of what is wrong marked by a caret under its line."""
    return LANGUAGE.examined(expression, boolean=boolean, optional=optional)


def control_id(name: str) -> str:
    """`gates[2].passes` as an id of HTML: `gates-2-passes`."""
    return re.sub(r"[^a-z0-9_]+", "-", name).strip("-")


def content_of(posted: Posted) -> dict[str, Any]:
    """The content that the form was filled in with. Fields that say what is the default anyway are left out."""
    content: dict[str, Any] = {"format": 1}
    for _, specs in HEADER_GROUPS:
        for spec in specs:
            _put(content, spec.name, _value(posted, spec.name, spec))
    _tidy_header(content)
    for part, specs in PARTS.items():
        rows = []
        for number in range(_count(posted, part)):
            row = {spec.name: _value(posted, f"{part}[{number}].{spec.name}", spec) for spec in specs}
            rows.append(_without_defaults(row, _TYPES[part]))
        if rows or part != "tiles":
            content[part] = rows
    return content


def operated(content: Mapping[str, Any], operation: str) -> dict[str, Any]:
    """The content after `add:gates`, `remove:gates:2`, `up:gates:2` or `down:gates:2`; anything else changes nothing."""
    act, _, rest = operation.partition(":")
    part, _, place = rest.partition(":")
    if part not in PARTS:
        return dict(content)
    rows = list(content.get(part) or [])
    number = int(place) if place.isdigit() else -1
    if act == "add":
        rows.append(dict(NEW[part]))
    elif act == "remove" and 0 <= number < len(rows):
        rows.pop(number)
    elif act in {"up", "down"} and 0 <= number < len(rows):
        other = max(0, min(len(rows) - 1, number + (-1 if act == "up" else 1)))
        rows.insert(other, rows.pop(number))
    return {**content, part: rows}


def form_view(
    content: Mapping[str, Any],
    flaws: Sequence[Flaw] = (),
    *,
    stages: Sequence[tuple[str, str]],
    groups: Sequence[str],
    check: bool = True,
) -> FormView:
    """The form that shows `content`, every flaw beside its control; `check` says what each expression gives."""
    beside = _Beside(flaws)
    slots = tuple((str(one.get("key", "")), str(one.get("title", ""))) for one in _rows(content, "slots"))
    named = tuple((name, name) for name in groups)
    choices = {
        "stages": tuple(stages),
        "groups": named,
        "alternates": (NO_CHOICE, *named),
        "slots": (NO_CHOICE, *(pair for pair in slots if pair[0])),
    }

    def control(name: str, spec: Spec, value: Any) -> Control:
        offered = choices[spec.source] if spec.source else spec.choices
        if spec.kind == ONE and value not in {choice for choice, _ in offered}:
            offered = ((str(value or ""), str(value or "choose")), *offered)
        checked = None
        if spec.kind == RULE and check and isinstance(value, str) and not beside.at(name):
            checked = check_expression(value, boolean=spec.boolean, optional=not spec.boolean)
        return Control(spec, name, value, offered, beside.take(name), checked)

    shown = tuple(
        (title, tuple(control(spec.name, spec, _header_value(content, spec)) for spec in specs))
        for title, specs in HEADER_GROUPS
    )
    cards = {
        part: tuple(
            Card(
                part,
                number,
                tuple(
                    control(
                        f"{part}[{number}].{spec.name}", spec, row.get(spec.name, _default(_TYPES[part], spec.name))
                    )
                    for spec in specs
                ),
                beside.take(f"{part}[{number}]", exactly=True),
            )
            for number, row in enumerate(_rows(content, part))
        )
        for part, specs in PARTS.items()
    }
    return FormView(shown, cards, beside.rest())


class _Beside:
    """Hands every flaw to the control that it is about, once."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        self._left = list(flaws)

    def at(self, name: str) -> bool:
        """Whether a flaw is left without a position, which re-checking the expression would not find."""
        return any(flaw.where == name and not flaw.line for flaw in self._left)

    def take(self, name: str, *, exactly: bool = False) -> tuple[str, ...]:
        mine = [
            flaw for flaw in self._left if flaw.where == name or (not exactly and flaw.where.startswith(f"{name}["))
        ]
        self._left = [flaw for flaw in self._left if flaw not in mine]
        return tuple(_said(flaw) for flaw in mine)

    def rest(self) -> tuple[str, ...]:
        return tuple(flaw.sentence for flaw in self._left)


def _said(flaw: Flaw) -> str:
    return replace(flaw, where="").sentence.removeprefix(", ").removeprefix(": ").strip()


def _rows(content: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    rows = content.get(part)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _count(posted: Posted, part: str) -> int:
    sent = str(posted.get(f"{part}.count", "0"))
    return min(int(sent), 200) if sent.isdigit() else 0


def _value(posted: Posted, name: str, spec: Spec) -> Any:
    if spec.kind == FLAG:
        return name in posted
    if spec.kind == MANY:
        sent = [str(value) for value in posted.getlist(name)]
        return [_number(value) for value in sent] if spec.name == "applies_to.tiers" else sent
    text = str(posted.get(name, "")).replace("\r\n", "\n").strip()
    if spec.kind == NUMBER:
        return _number(text)
    if spec.kind == NUMBERS:
        return [_number(one.strip()) for one in text.split(",") if one.strip()]
    if spec.kind == LINES:
        return [line.strip() for line in text.split("\n") if line.strip()]
    return text


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text


def _put(content: dict[str, Any], name: str, value: Any) -> None:
    outer, _, inner = name.partition(".")
    if inner:
        content.setdefault(outer, {})[inner] = value
    else:
        content[outer] = value


def _tidy_header(content: dict[str, Any]) -> None:
    """Leave out what is the default, and an `overdue` that says nothing."""
    if not any(content["overdue"].values()):
        content.pop("overdue")
    for name, kind in _NESTED.items():
        content[name] = _without_defaults(content[name], kind)
        if not content[name]:
            content.pop(name)
    for name in list(content):
        if name not in _NESTED and content[name] == _default(PolicyDocument, name) and name not in {"format", "title"}:
            content.pop(name)


def _without_defaults(row: Mapping[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    required = {one.name for one in msgspec.structs.fields(kind) if one.required}
    return {name: value for name, value in row.items() if name in required or value != _default(kind, name)}


def _default(kind: type[msgspec.Struct], name: str) -> Any:
    for one in msgspec.structs.fields(kind):
        if one.name == name and one.default is not msgspec.NODEFAULT:
            return msgspec.to_builtins(one.default)
    return [] if name in {"tiers", "answers_for"} else ""


def _header_value(content: Mapping[str, Any], spec: Spec) -> Any:
    outer, _, inner = spec.name.partition(".")
    if not inner:
        return content.get(outer, _default(PolicyDocument, outer))
    nested = content.get(outer)
    if isinstance(nested, Mapping) and inner in nested:
        return nested[inner]
    return _default(_NESTED[outer], inner) if outer in _NESTED else ""
