"""Decides what an expression of a policy says about facts. The only module that knows the engine (Google's CEL-C++).

Expressions are type-checked against a declared schema when they are saved, loops are bounded by the engine, and an error is a
value, never a pass: only the boolean `true` passes.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

MAX_EXPRESSION: Final = 1_000
COMPARISONS: Final = ("<=", ">=", "==", "!=", "<", ">", " in ")
_WORDS: Final = {
    "bool": "true or false",
    "double": "a number",
    "int": "a whole number",
    "string": "text",
    "list": "a list",
    "map": "values by name",
    "google.protobuf.timestamp": "a moment",
    "timestamp": "a moment",
}
_POSITION: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']+)'")
_NO_VALUE: Final = re.compile(r'No value with name "([^"]+)"')
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class FactType(StrEnum):
    """The types that a fact can have; the values are CEL's own names."""

    NUMBER = "double"
    WHOLE = "int"
    FLAG = "bool"
    TEXT = "string"
    TEXTS = "list(string)"
    WHOLES = "list(int)"
    NUMBERS = "map(string, double)"
    COUNTS = "map(string, int)"
    MOMENT = "timestamp"


_TYPES: Final = {
    FactType.NUMBER: cel.Type.DOUBLE,
    FactType.WHOLE: cel.Type.INT,
    FactType.FLAG: cel.Type.BOOL,
    FactType.TEXT: cel.Type.STRING,
    FactType.TEXTS: cel.Type.List(cel.Type.STRING),
    FactType.WHOLES: cel.Type.List(cel.Type.INT),
    FactType.NUMBERS: cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
    FactType.COUNTS: cel.Type.Map(cel.Type.STRING, cel.Type.INT),
    FactType.MOMENT: cel.Type.TIMESTAMP,
}

TextTest = Callable[[str, str], bool]
"""A question about one text with another as argument: `network.within("10.0.0.0/8")`."""


@dataclass(eq=False)
class BadExpression(ValueError):
    """The expression does not fit the schema. `line` and `column` count from 1; 0 where the engine names no position."""

    detail: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """The sentence with its position."""
        return f"Line {self.line}, column {self.column}: {self.detail}" if self.line else self.detail

    def marked_in(self, expression: str) -> str:
        """The line that it is about with a caret under the place; empty where the engine named none."""
        lines = expression.splitlines()
        if not 0 < self.line <= len(lines):
            return ""
        return f"{lines[self.line - 1]}\n{' ' * max(0, self.column - 1)}^"


@dataclass(frozen=True)
class Answer:
    """What an expression says: a value, or the sentence that tells why there is none."""

    value: Any = None
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is exactly `true`; an error is not."""
        return not self.error and self.value is True


@dataclass(frozen=True)
class Comparison:
    """A clause with one comparison, taken apart: `left operator right`, as text."""

    left: str
    operator: str
    right: str


@dataclass(frozen=True)
class Checked:
    """What is known of an expression: the type that it gives, or what is wrong, where, and the line with the place marked."""

    gives: str = ""
    problem: str = ""
    line: int = 0
    column: int = 0
    marked: str = ""
    boolean: bool = True


class Program:
    """One expression, compiled, for asking it thousands of times a second. `names`: the facts that it may ask for."""

    __slots__ = ("_env", "_expression", "names")

    def __init__(self, env: Any, expression: Any, names: tuple[str, ...]) -> None:
        self._env, self._expression, self.names = env, expression, names

    def ask(self, facts: Mapping[str, Any]) -> Answer:
        """What it says about `facts`, of which all that it names have to be there; numbers have to be finite."""
        try:
            result = self._expression.eval(self._env.Activation({name: facts[name] for name in self.names}))
        except RuntimeError as error:
            return Answer(error=_sentence(str(error), facts))
        value = result.plain_value()
        if value is True or value is False:
            return Answer(value=value)
        return Answer(error=_sentence(str(value), facts))


class Language:
    """CEL over one schema: names with dots, each of one type. `tests` are functions of a text with another text as argument.

    `example` is what somebody is shown who wrote nothing.
    """

    def __init__(
        self,
        schema: Mapping[str, FactType],
        *,
        tests: Mapping[str, TextTest] | None = None,
        example: str = "metrics.auc >= 0.75",
    ) -> None:
        self.schema = dict(schema)
        self._example = example
        self._env = cel.NewEnv(
            variables={name: _TYPES[kind] for name, kind in schema.items()},
            functions=[_declared(name, test) for name, test in (tests or {}).items()],
        )
        self._compile = lru_cache(maxsize=1_024)(self._compiled)
        self._mentioned = lru_cache(maxsize=1_024)(self._words_in)

    def check(self, expression: str, *, boolean: bool = True) -> None:
        """Raise `BadExpression` with position when it does not parse, names an unknown fact or mixes types."""
        compiled = self._compile(expression)
        found = compiled.return_type()
        if boolean and found != cel.Type.BOOL:
            raise BadExpression(f"This gives {found.name().lower()}; a rule must give true or false.", 1, 1)

    def program(self, expression: str) -> Program:
        """A rule that fits the schema, compiled once; raises `BadExpression` for one that does not."""
        self.check(expression)
        return Program(self._env, self._compile(expression), self.names_in(expression))

    def examined(self, expression: str, *, boolean: bool = True, optional: bool = False) -> Checked:
        """Type-check one expression for whoever types it, with the place of what is wrong marked by a caret under its line."""
        if optional and not expression.strip():
            return Checked(boolean=boolean)
        try:
            self.check(expression, boolean=boolean)
        except BadExpression as error:
            return Checked("", error.detail, error.line, error.column, error.marked_in(expression), boolean)
        return Checked(self.gives(expression), boolean=boolean)

    def gives(self, expression: str) -> str:
        """The type of an expression that fits the schema, in words."""
        name = str(self._compile(expression).return_type().name()).lower()
        return _WORDS.get(name.partition("<")[0], name)

    def ask(self, expression: str, facts: Mapping[str, Any]) -> Answer:
        """What the expression says about `facts` (schema names to values). Numbers that are not finite count as missing."""
        asked = {name: facts[name] for name in self.names_in(expression) if name in facts}
        finite = {name: value for name, value in asked.items() if _is_finite(value)}
        try:
            result = self._compile(expression).eval(data=finite)
        except BadExpression as error:
            return Answer(error=str(error))
        except RuntimeError as error:
            return Answer(error=_sentence(str(error), facts))
        if result.type() == cel.Type.ERROR or result.type() == cel.Type.UNKNOWN:
            return Answer(error=_sentence(str(result.value()), facts))
        value = result.plain_value()
        return Answer(value=value) if _is_finite(value) else Answer(error="The result is not a finite number.")

    def names_in(self, expression: str) -> tuple[str, ...]:
        """The names that the expression may ask for, by their words and however they are spaced; rather one too many."""
        return self._mentioned(expression)

    def _words_in(self, expression: str) -> tuple[str, ...]:
        words = set(_WORD.findall(expression))
        return tuple(name for name in self.schema if words.issuperset(name.split(".")))

    def _compiled(self, expression: str) -> Any:
        if len(expression) > MAX_EXPRESSION:
            raise BadExpression(
                f"An expression has at most {MAX_EXPRESSION} characters; this one has {len(expression)}."
            )
        if not expression.strip():
            raise BadExpression(f"An expression is needed, for example {self._example}.", 1, 1)
        try:
            return self._env.compile(expression)
        except RuntimeError as error:
            raise self._located(str(error)) from error

    def _located(self, text: str) -> BadExpression:
        found = _POSITION.search(text)
        if not found:
            return BadExpression(text)
        detail = found[3].replace(" (in container '')", "")
        return BadExpression(detail + self._suggestion(detail), int(found[1]), int(found[2]))

    def _suggestion(self, detail: str) -> str:
        unknown = _UNDECLARED.search(detail)
        if not unknown:
            return "."
        close = difflib.get_close_matches(unknown[1], self.schema, n=1, cutoff=0.7)
        return f". Did you mean {close[0]}?" if close else ". The list of facts names what a rule may use."


def _declared(name: str, test: TextTest) -> Any:
    text = cel.Type.STRING
    return cel.FunctionDecl(name, [cel.Overload(f"text_{name}", cel.Type.BOOL, [text, text], True, test)])


def clauses(expression: str) -> list[str]:
    """The parts joined by `&&` at the top level; the whole when `||` or `?` stands there."""
    if any(_at_top(expression, symbol) for symbol in ("||", "?")):
        return [expression.strip()]
    cuts = [-2, *_at_top(expression, "&&"), len(expression)]
    return [expression[start + 2 : end].strip() for start, end in itertools.pairwise(cuts)]


def comparison(clause: str) -> Comparison | None:
    """The clause taken apart at its only comparison at the top level, or nothing where it is not of that form."""
    for operator in COMPARISONS:
        places = _at_top(clause, operator)
        if len(places) == 1:
            left, right = clause[: places[0]], clause[places[0] + len(operator) :]
            return Comparison(left.strip(), operator.strip(), right.strip())
    return None


def _at_top(expression: str, symbol: str) -> list[int]:
    return [place for place in _top_level(expression) if expression.startswith(symbol, place)]


@lru_cache(maxsize=1_024)
def _top_level(expression: str) -> tuple[int, ...]:
    """The positions that stand outside every bracket and string."""
    return tuple(_outside(expression))


def _outside(expression: str) -> Iterator[int]:
    depth, quote, place = 0, "", 0
    while place < len(expression):
        character = expression[place]
        if quote:
            place += 2 if character == "\\" else 1
            quote = "" if character == quote else quote
            continue
        if character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0:
            yield place
        place += 1


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    return True


def _sentence(error: str, facts: Mapping[str, Any]) -> str:
    missing = _NO_VALUE.search(error)
    if not missing:
        return f"It cannot be evaluated: {error.partition(': ')[2] or error}."
    name = missing[1]
    return (
        f"{name} is not a finite number."
        if name in facts
        else f"There is no value for {name}: the evidence for it is missing."
    )
