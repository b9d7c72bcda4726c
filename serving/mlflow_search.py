"""MLflow's search grammar as questions to our database: its own parser reads a filter, and what it found becomes conditions on columns.

What a filter means is what it means on MLflow's SQL server: `LIKE` tells letters' case apart, `ILIKE` does not, conditions on one tag
hold for one tag, and a row without a tag matches nothing that is said about the tag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db.models import Exists, Expression, Model, OuterRef, Q, QuerySet
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from foundation.expressions import BEGINNING_CHARACTERS, Beginning, ILike, Like
from foundation.refusals import Invalid
from registry.models import ModelTag, VersionTag

_M = TypeVar("_M", bound=Model)

MAX_FILTER_CHARACTERS: Final = 10_000
MAX_OFFSET: Final = 10**9
MANY: Final = 5_000


@dataclass(frozen=True, slots=True)
class Grammar:
    """What may be said about one kind of row: by which of MLflow's parsers, about which columns, and in which order rows come unasked."""

    parse: Callable[[str], list[dict[str, Any]]]
    parse_order: Callable[[str], tuple[Any, ...]]
    columns: Mapping[str, str]
    numbers: frozenset[str]
    lists: frozenset[str]
    tags: type[Model]
    tag_of: str
    unasked: Sequence[str]
    ties: Mapping[str, str]
    most: int


MODELS: Final = Grammar(
    parse=SearchModelUtils.parse_search_filter,
    parse_order=SearchUtils.parse_order_by_for_search_registered_models,
    columns={"name": "name", "timestamp": "updated_at", "last_updated_timestamp": "updated_at"},
    numbers=frozenset(),
    lists=frozenset({"name"}),
    tags=ModelTag,
    tag_of="model",
    unasked=(),
    ties={"name": "name"},
    most=1_000,
)
VERSIONS: Final = Grammar(
    parse=SearchModelVersionUtils.parse_search_filter,
    parse_order=lambda text: SearchModelVersionUtils.parse_order_by_for_search_model_versions(text)[1:],  # type: ignore[no-untyped-call]  # MLflow's
    columns={
        "name": "model__name",
        "version_number": "number",
        "run_id": "run_id",
        "source_path": "source",
        "creation_timestamp": "created_at",
        "last_updated_timestamp": "updated_at",
    },
    numbers=frozenset({"version_number"}),
    lists=frozenset({"name", "run_id"}),
    tags=VersionTag,
    tag_of="version",
    unasked=("last_updated_timestamp DESC",),
    ties={"model__name": "model__name", "number": "-number"},
    most=200_000,
)

Condition = Q | Expression | Exists
NOTHING: Final = Q(pk__in=())
ASKS_FOR_PROMPTS: Final = frozenset({("=", "true"), ("!=", "false")})
_NUMERIC: Final = {"=": "exact", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_PATTERNS: Final[Mapping[str, Callable[[str, str], Condition]]] = {"LIKE": Like, "ILIKE": ILike}


def search(
    rows: QuerySet[_M],
    grammar: Grammar,
    *,
    filter_string: str | None,
    max_results: Any,
    order_by: Sequence[str] | None,
    page_token: str | None,
) -> tuple[list[_M], Any]:
    """One page of `rows`, and the token of the next one (none: this is the last).

    Raises `MlflowException` with MLflow's own sentences, or `Invalid`, for a filter, an order, a limit or a token that means nothing.
    """
    limit, offset = _limit(max_results, grammar.most), _offset(page_token)
    for condition in _conditions(grammar, filter_string or ""):
        rows = rows.filter(condition)
    found = list(rows.order_by(*_order(grammar, order_by or grammar.unasked))[offset : offset + limit + 1])
    more = SearchUtils.create_page_token(offset + limit) if len(found) > limit else None  # type: ignore[no-untyped-call]  # MLflow's
    return found[:limit], more


def _limit(asked: Any, most: int) -> int:
    if not isinstance(asked, int) or asked < 1:
        raise MlflowException.invalid_parameter_value(
            f"Invalid value for max_results. It must be a positive integer, but got {asked}"
        )
    if asked > most:
        raise MlflowException.invalid_parameter_value(
            f"Invalid value for request parameter max_results. It must be at most {most}, but got value {asked}"
        )
    return asked


def _offset(token: str | None) -> int:
    """Where the page begins. Tokens are MLflow's; its parser lets some nonsense through as other errors than its own."""
    try:
        offset = int(SearchUtils.parse_start_offset_from_page_token(token))  # type: ignore[no-untyped-call]  # MLflow's
    except (AttributeError, TypeError, ValueError) as error:
        raise Invalid("Invalid page token: send the one that came with the page before.", code="page-token") from error
    if not 0 <= offset <= MAX_OFFSET:
        raise Invalid("Invalid page token: send the one that came with the page before.", code="page-token")
    return offset


def _conditions(grammar: Grammar, filter_string: str) -> list[Condition]:
    if len(filter_string) > MAX_FILTER_CHARACTERS or "\0" in filter_string:
        raise Invalid(
            f"A filter has at most {MAX_FILTER_CHARACTERS:,} characters, none of them NUL; ask for less at once.",
            code="filter",
        )
    found, by_tag = list[Condition](), defaultdict[str, list[Condition]](list)
    for clause in grammar.parse(filter_string):
        key, comparator, value = clause["key"], clause["comparator"], clause["value"]
        if clause["type"] == "tag" and key == IS_PROMPT_TAG_KEY:
            # The client asks with every search that prompts be left out. None are here, and no model says that it is not one.
            found += [NOTHING] if (comparator, value.lower()) in ASKS_FOR_PROMPTS else []
        elif clause["type"] == "tag":
            by_tag[key].append(_on_tag(comparator, value))
        elif key in grammar.numbers:
            found.append(_on_number(grammar.columns[key], key, comparator, value))
        else:
            found.append(_on_text(grammar, key, comparator, value))
    return found + [_has_tag(grammar, key, conditions) for key, conditions in by_tag.items()]


def _on_tag(comparator: str, value: str) -> Condition:
    if comparator == "=":
        return Q(beginning=value[:BEGINNING_CHARACTERS], value=value)
    if comparator == "!=":
        return ~Q(value=value)
    if comparator in _PATTERNS:
        return _PATTERNS[comparator]("value", value)
    raise MlflowException.invalid_parameter_value(f"Invalid comparator for tag: {comparator}")


def _has_tag(grammar: Grammar, key: str, conditions: Sequence[Condition]) -> Condition:
    """Rows with a tag of this key for which every condition holds.

    Where few tags do, the rows are looked up from them; where many do, rows are gone through in order until the page is full.
    """
    tags = grammar.tags._default_manager.annotate(beginning=Beginning("value")).filter(key=key)
    for condition in conditions:
        tags = tags.filter(condition)
    if tags[:MANY].count() < MANY:
        return Q(pk__in=tags.values(grammar.tag_of))
    return Exists(tags.filter(**{grammar.tag_of: OuterRef("pk")}))


def _on_number(column: str, key: str, comparator: str, value: Any) -> Condition:
    if comparator not in {*_NUMERIC, "!="}:
        raise MlflowException.invalid_parameter_value(f"Invalid comparator for attribute {key}: {comparator}")
    if isinstance(value, float) or not str(value).lstrip("-").isdigit():
        raise MlflowException.invalid_parameter_value(f"Invalid value for numeric attribute '{key}': {value!r}")
    if comparator == "!=":
        return ~Q(**{column: int(value)})
    return Q(**{f"{column}__{_NUMERIC[comparator]}": int(value)})


def _on_text(grammar: Grammar, key: str, comparator: str, value: Any) -> Condition:
    column = grammar.columns[key]
    if comparator in {"IN", "NOT IN"} and key in grammar.lists:
        among = Q(**{f"{column}__in": list(value)})
        return among if comparator == "IN" else ~among
    if comparator in {"=", "!="}:
        return Q(**{column: value}) if comparator == "=" else ~Q(**{column: value})
    if comparator in _PATTERNS:
        return _PATTERNS[comparator](column, value)
    raise MlflowException.invalid_parameter_value(f"Invalid comparator for attribute: {comparator}")


def _order(grammar: Grammar, asked: Sequence[str]) -> list[str]:
    """The columns to sort by, `-` before those that fall: what was asked for, then what tells equal rows apart."""
    columns: dict[str, str] = {}
    for text in asked:
        key, ascending = grammar.parse_order(text)
        column = grammar.columns[key]
        if column in columns:
            raise MlflowException.invalid_parameter_value(f"`order_by` contains duplicate fields: {list(asked)}")
        columns[column] = column if ascending else f"-{column}"
    return list((columns | {tie: sort for tie, sort in grammar.ties.items() if tie not in columns}).values())
