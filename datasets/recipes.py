"""Transformation recipes: how raw columns become the inputs of a model, declared as data and checked before anything runs.

Pure. A recipe is JSON with closed key sets, so that it can be stored, diffed, signed and replayed:

    {"recipe": 1, "target": "employed", "steps": [
        {"step": "filter_rows", "column": "AGEP", "op": ">=", "value": 16},
        {"step": "hold_back", "columns": ["SEX", "RAC1P"]},
        {"step": "bin", "columns": ["AGEP"], "bins": 12},
        {"step": "one_hot", "columns": ["SCHL", "MAR"], "min_rows": 50}]}

`parse` checks it against a dataset's schema and answers with one sentence per mistake; `datasets.preparation` compiles it.
Steps on one column apply in the order in which they stand; an encoding (scale, bin, one_hot) comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from datasets.drift import Kind, category_text
from datasets.schema import TableSchema

RECIPE_FORMAT: Final = 1
MAX_STEPS: Final = 200
MAX_CATEGORIES: Final = 200
MAX_BINS: Final = 50


class StepName(StrEnum):
    """What a step does."""

    FILTER_ROWS = "filter_rows"
    SELECT = "select"
    DROP = "drop"
    HOLD_BACK = "hold_back"
    MAP_CODES = "map_codes"
    CLIP = "clip"
    IMPUTE = "impute"
    SCALE = "scale"
    BIN = "bin"
    ONE_HOT = "one_hot"


ENCODINGS: Final = frozenset({StepName.SCALE, StepName.BIN, StepName.ONE_HOT})
COLUMN_CHOICE: Final = frozenset({StepName.SELECT, StepName.DROP, StepName.HOLD_BACK})
NEEDS_NUMBERS: Final = frozenset({StepName.CLIP, StepName.SCALE, StepName.BIN})
COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in", "not_in")
IMPUTATIONS: Final = ("median", "mean", "most_frequent", "constant")
SCALINGS: Final = ("standard", "min_max", "robust")


@dataclass(frozen=True)
class Step:
    """One checked step: its name, the columns it touches, and its options (JSON, the keys of `OPTIONS`)."""

    name: StepName
    columns: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. `features` are the raw columns that the model reads; `held_back` are kept for judging it only."""

    target: str
    steps: tuple[Step, ...]
    features: tuple[str, ...]
    held_back: tuple[str, ...]

    def chain(self, column: str) -> tuple[Step, ...]:
        """The steps that transform `column`, in order."""
        choosing = COLUMN_CHOICE | {StepName.FILTER_ROWS}
        return tuple(step for step in self.steps if column in step.columns and step.name not in choosing)

    def filters(self) -> tuple[Step, ...]:
        """The row filters, in order."""
        return tuple(step for step in self.steps if step.name is StepName.FILTER_ROWS)

    def as_dict(self) -> dict[str, Any]:
        """The recipe in the JSON form that `parse` reads."""
        steps = []
        for step in self.steps:
            place = (
                {"column": step.columns[0]} if step.name is StepName.FILTER_ROWS else {"columns": list(step.columns)}
            )
            steps.append({"step": step.name.value, **place, **step.options})
        return {"recipe": RECIPE_FORMAT, "target": self.target, "steps": steps}

    def sentences(self) -> tuple[str, ...]:
        """The recipe in words, a sentence for each step."""
        return tuple(_sentence(step) for step in self.steps)


class RecipeMistakes(ValueError):
    """The recipe is malformed or does not fit the dataset: one sentence for each mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """`mistakes`: sentences, in the order of the steps."""
        super().__init__(" ".join(mistakes))
        self.mistakes = tuple(mistakes)


def parse(data: Any, schema: TableSchema) -> Recipe:
    """The recipe in `data` (JSON), checked against `schema`; raises `RecipeMistakes` naming everything that is wrong."""
    if not isinstance(data, Mapping):
        raise RecipeMistakes(["A recipe is an object with the keys recipe, target and steps."])
    mistakes = [
        f"Unknown key {key!r} in the recipe." for key in sorted(map(str, set(data) - {"recipe", "target", "steps"}))
    ]
    if data.get("recipe") != RECIPE_FORMAT or isinstance(data.get("recipe"), bool):
        mistakes.append(f"This recipe's format is {data.get('recipe')!r}; the one understood here is {RECIPE_FORMAT}.")
    target = _target(data.get("target"), schema, mistakes)
    steps = _steps(data.get("steps"), schema, mistakes)
    features, held_back = _features(steps, schema, target)
    _check_columns(steps, features, target, schema, mistakes)
    _check_chains(steps, features, schema, mistakes)
    if mistakes:
        raise RecipeMistakes(mistakes)
    return Recipe(target, tuple(steps), features, held_back)


def select_rows(frame: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The rows of `frame` that pass every filter of `recipe`; a missing value passes none but `!=` and `not_in`."""
    kept = np.ones(len(frame), dtype=bool)
    for step in recipe.filters():
        kept &= _passes(frame[step.columns[0]], step.options["op"], step.options["value"])
    return frame[kept]


def unimputed(frame: pd.DataFrame, recipe: Recipe) -> tuple[str, ...]:
    """The features that have missing values in `frame` and no step that deals with them (impute, one_hot), a sentence each."""
    handled = {StepName.IMPUTE, StepName.ONE_HOT}
    open_columns = [name for name in recipe.features if not handled & {step.name for step in recipe.chain(name)}]
    return tuple(
        f"Column {name!r} has {int(frame[name].isna().sum())} missing values; add an impute step for it."
        for name in open_columns
        if frame[name].isna().any()
    )


@dataclass(frozen=True)
class _Option:
    """One option of a step: whether it must be given, what is accepted, and the sentence for everything else."""

    accepts: Callable[[Any], bool]
    expected: str
    required: bool = False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_scalar(value: Any) -> bool:
    return _is_number(value) or isinstance(value, str | bool)


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _one_of(*choices: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in choices


def _is_mapping_to_numbers(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(_is_number(number) for number in value.values())


def _are_edges(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) < MAX_BINS or not all(_is_number(edge) for edge in value):
        return False
    return all(low < high for low, high in pairwise(value))


OPTIONS: Final[Mapping[StepName, Mapping[str, _Option]]] = {
    StepName.FILTER_ROWS: {
        "op": _Option(_one_of(*COMPARISONS), "one of " + ", ".join(COMPARISONS), required=True),
        "value": _Option(
            lambda value: (
                _is_scalar(value) or (isinstance(value, list) and bool(value) and all(map(_is_scalar, value)))
            ),
            "a number or text, or a list of them for in and not_in",
            required=True,
        ),
    },
    StepName.SELECT: {},
    StepName.DROP: {},
    StepName.HOLD_BACK: {},
    StepName.MAP_CODES: {
        "mapping": _Option(_is_mapping_to_numbers, "an object from code to number", required=True),
        "otherwise": _Option(_is_number, "a number"),
    },
    StepName.CLIP: {
        "low": _Option(_is_number, "a number", required=True),
        "high": _Option(_is_number, "a number", required=True),
    },
    StepName.IMPUTE: {
        "strategy": _Option(_one_of(*IMPUTATIONS), "one of " + ", ".join(IMPUTATIONS), required=True),
        "value": _Option(_is_scalar, "a number or text"),
    },
    StepName.SCALE: {"method": _Option(_one_of(*SCALINGS), "one of " + ", ".join(SCALINGS), required=True)},
    StepName.BIN: {
        "bins": _Option(_whole(2, MAX_BINS), f"a whole number from 2 to {MAX_BINS}"),
        "strategy": _Option(_one_of("quantile", "uniform"), "quantile or uniform"),
        "edges": _Option(_are_edges, f"ascending numbers, at most {MAX_BINS - 1}"),
    },
    StepName.ONE_HOT: {
        "max_categories": _Option(_whole(2, MAX_CATEGORIES), f"a whole number from 2 to {MAX_CATEGORIES}"),
        "min_rows": _Option(_whole(1, 1_000_000_000), "a whole number from 1"),
    },
}


def _target(target: Any, schema: TableSchema, mistakes: list[str]) -> str:
    if not isinstance(target, str) or not target:
        mistakes.append("The recipe needs a target: the column to predict.")
        return ""
    if target not in schema.names:
        mistakes.append(f"The target {target!r} is not a column of the dataset.")
    elif schema.label and target != schema.label:
        mistakes.append(f"The target is {target!r}, but the dataset declares the label {schema.label!r}.")
    return target


def _steps(data: Any, schema: TableSchema, mistakes: list[str]) -> list[Step]:
    if not isinstance(data, list) or not data:
        mistakes.append("The recipe needs a list of steps with at least one entry.")
        return []
    if len(data) > MAX_STEPS:
        mistakes.append(f"A recipe has at most {MAX_STEPS} steps; this one has {len(data)}.")
        return []
    steps = [_step(entry, number, schema, mistakes) for number, entry in enumerate(data, start=1)]
    return [step for step in steps if step is not None]


def _step(entry: Any, number: int, schema: TableSchema, mistakes: list[str]) -> Step | None:
    """Step `number` of the recipe; None, with the reasons appended to `mistakes`, when it is wrong."""
    given = entry.get("step") if isinstance(entry, Mapping) else None
    if not isinstance(given, str) or given not in set(StepName):
        mistakes.append(f"Step {number} needs a name that is one of {', '.join(StepName)}; it has {given!r}.")
        return None
    name, where, before = StepName(given), f"Step {number} ({given})", len(mistakes)
    place = "column" if name is StepName.FILTER_ROWS else "columns"
    allowed = OPTIONS[name]
    mistakes += [
        f"{where} has the unknown key {key!r}." for key in sorted(map(str, set(entry) - {"step", place, *allowed}))
    ]
    columns = _step_columns(entry.get(place), where, place, schema, mistakes)
    options = {key: entry[key] for key in allowed if key in entry}
    for key, option in allowed.items():
        if key in options and not option.accepts(options[key]):
            mistakes.append(f"{where}: {key} must be {option.expected}.")
        elif key not in options and option.required:
            mistakes.append(f"{where} needs {key}: {option.expected}.")
    if len(mistakes) == before:
        mistakes += _option_mistakes(name, columns, options, where, schema)
    return Step(name, columns, options) if len(mistakes) == before else None


def _step_columns(given: Any, where: str, place: str, schema: TableSchema, mistakes: list[str]) -> tuple[str, ...]:
    names = [given] if place == "column" else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        mistakes.append(f"{where} needs {'a column' if place == 'column' else 'a list of columns'}.")
        return ()
    mistakes += [f"{where}: there is no column {name!r} in the dataset." for name in names if name not in schema.names]
    mistakes += [f"{where} names column {name!r} twice." for name in sorted({n for n in names if names.count(n) > 1})]
    return tuple(names)


def _option_mistakes(
    name: StepName, columns: Sequence[str], options: Mapping[str, Any], where: str, schema: TableSchema
) -> list[str]:
    """What is wrong with options that are each acceptable but do not go together."""
    match name:
        case StepName.FILTER_ROWS:
            return _filter_mistakes(options["op"], options["value"], schema.column(columns[0]).kind, where)
        case StepName.CLIP if options["low"] >= options["high"]:
            return [f"{where}: low must be smaller than high."]
        case StepName.BIN if ("edges" in options) == ("bins" in options):
            return [f"{where} needs either bins or edges."]
        case StepName.BIN if "edges" in options and "strategy" in options:
            return [f"{where}: strategy goes with bins, not with edges."]
        case StepName.IMPUTE if (options["strategy"] == "constant") != ("value" in options):
            return [f"{where}: value is needed with the strategy constant, and only there."]
        case _:
            return []


def _filter_mistakes(op: str, value: Any, kind: Kind, where: str) -> list[str]:
    if (op in {"in", "not_in"}) != isinstance(value, list):
        return [f"{where}: {op} needs {'a list of values' if op in {'in', 'not_in'} else 'one value, not a list'}."]
    values = value if isinstance(value, list) else [value]
    if kind is Kind.NUMERIC and not all(_is_number(item) for item in values):
        return [f"{where}: the column is numeric, so it can be compared with numbers only."]
    if kind is Kind.CATEGORY and op in {"<", "<=", ">", ">="} and not all(_is_number(item) for item in values):
        return [f"{where}: codes can be ordered against numbers only."]
    return []


def _features(steps: Sequence[Step], schema: TableSchema, target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The raw columns that the model reads, and those held back, in the order of the dataset."""
    chosen = {name: {c for step in steps if step.name is name for c in step.columns} for name in COLUMN_CHOICE}
    held = chosen[StepName.HOLD_BACK]
    out = chosen[StepName.DROP] | held | {target, schema.time}
    start = chosen[StepName.SELECT] or set(schema.names)
    return tuple(name for name in schema.names if name in start - out), tuple(n for n in schema.names if n in held)


def _check_columns(
    steps: Sequence[Step], features: tuple[str, ...], target: str, schema: TableSchema, mistakes: list[str]
) -> None:
    """The target is never a feature, no column is chosen twice in different ways, and something is left."""
    choices: dict[str, list[StepName]] = {}
    for step in steps:
        if step.name is StepName.FILTER_ROWS:
            continue
        if target in step.columns:
            mistakes.append(f"The target {target!r} cannot be used by the step {step.name}.")
        for name in step.columns if step.name in COLUMN_CHOICE else ():
            choices.setdefault(name, []).append(step.name)
    for name, how in choices.items():
        if len(how) > 1:
            mistakes.append(f"Column {name!r} is chosen more than once: {' and '.join(how)}.")
    if steps and not features:
        mistakes.append("No column is left for the model to read.")
    kinds = [step for step in steps if step.name is StepName.SELECT]
    if len(kinds) > 1:
        mistakes.append("The recipe has more than one select step; name all columns in one.")
    if schema.time and any(schema.time in step.columns for step in kinds):
        mistakes.append(f"The time column {schema.time!r} separates training from hold-out and cannot be a feature.")


def _check_chains(steps: Sequence[Step], features: tuple[str, ...], schema: TableSchema, mistakes: list[str]) -> None:
    """What happens to each column in turn makes sense: no step twice, an encoding last, numbers where numbers are needed."""
    transforming = [step for step in steps if step.name not in COLUMN_CHOICE | {StepName.FILTER_ROWS}]
    touched = {name for step in transforming for name in step.columns if name in schema.names}
    for name in schema.names:
        chain = [step for step in transforming if name in step.columns]
        if name in touched - set(features):
            mistakes.append(
                f"Column {name!r} is transformed but not a feature: it is dropped, held back or not selected."
            )
        elif name in features:
            mistakes += _chain_mistakes(name, chain, schema.column(name).kind)


def _chain_mistakes(name: str, chain: Sequence[Step], kind: Kind) -> list[str]:
    mistakes, names = [], [step.name for step in chain]
    mistakes += [
        f"Column {name!r} has the step {step} twice." for step in dict.fromkeys(names) if names.count(step) > 1
    ]
    mistakes += [
        f"Column {name!r}: {later} comes after the encoding {earlier}, which must be last."
        for earlier, later in pairwise(names)
        if earlier in ENCODINGS
    ]
    if StepName.MAP_CODES in names[1:]:
        mistakes.append(f"Column {name!r}: map_codes must be its first step.")
    numeric = kind is Kind.NUMERIC or StepName.MAP_CODES in names
    for step in chain:
        if not numeric and step.name in NEEDS_NUMBERS:
            mistakes.append(f"Column {name!r} holds codes, so {step.name} does not apply; use one_hot or map_codes.")
        if not numeric and step.name is StepName.IMPUTE and step.options["strategy"] in {"median", "mean"}:
            mistakes.append(
                f"Column {name!r} holds codes, which have no {step.options['strategy']}; impute most_frequent or constant."
            )
        if numeric and step.name is StepName.IMPUTE and not _is_number(step.options.get("value", 0)):
            mistakes.append(
                f"Column {name!r} is numeric and cannot be imputed with the text {step.options['value']!r}."
            )
    if not numeric and StepName.ONE_HOT not in names:
        mistakes.append(
            f"Column {name!r} holds codes and needs one_hot or map_codes, or has to be dropped or held back."
        )
    return mistakes


def _passes(values: pd.Series[Any], op: str, value: Any) -> npt.NDArray[np.bool_]:
    hit: npt.NDArray[np.bool_]
    if op in {"==", "!=", "in", "not_in"}:
        wanted = {category_text(item) for item in (value if isinstance(value, list) else [value])}
        index, uniques = pd.factorize(values)
        hit = np.array([category_text(item) in wanted for item in uniques] + [False], dtype=bool)[index]
        return hit if op in {"==", "in"} else ~hit
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    comparison = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[op]
    passed: npt.NDArray[np.bool_] = comparison(numbers, float(value))
    return passed


def _sentence(step: Step) -> str:
    columns, o = ", ".join(step.columns), step.options
    match step.name:
        case StepName.FILTER_ROWS:
            value = ", ".join(map(str, o["value"])) if isinstance(o["value"], list) else o["value"]
            return f"Keep the rows where {columns} {o['op'].replace('_', ' ')} {value}."
        case StepName.SELECT:
            return f"Read only {columns}."
        case StepName.DROP:
            return f"Leave out {columns}."
        case StepName.HOLD_BACK:
            return f"Hold back {columns}: the model does not see them, its evaluation does."
        case StepName.MAP_CODES:
            return f"Turn {len(o['mapping'])} codes of {columns} into numbers."
        case StepName.CLIP:
            return f"Limit {columns} to {o['low']:g} … {o['high']:g}."
        case StepName.IMPUTE:
            return f"Fill missing {columns} with {o.get('value', 'the ' + o['strategy'].replace('_', ' ') + ' value')}."
        case StepName.SCALE:
            return f"Scale {columns} ({o['method'].replace('_', ' ')})."
        case StepName.BIN:
            how = f"{o['bins']} {o.get('strategy', 'quantile')} bins" if "bins" in o else f"bins at {o['edges']}"
            return f"Cut {columns} into {how}."
        case _:
            rare = f", codes with fewer than {o['min_rows']} rows together" if "min_rows" in o else ""
            most = f", at most {o['max_categories']} each" if "max_categories" in o else ""
            return f"One column for each code of {columns}{rare}{most}."
