"""Reading JSON and YAML that a stranger wrote: bounded, without duplicate keys, and without what the formats allow beyond plain data.

Pure. Raises `ValueError` with a sentence; the caller knows which file it read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml

MAX_YAML_BYTES: Final = 1024**2
MAX_YAML_DEPTH: Final = 16
MAX_JSON_DEPTH: Final = 64
MAX_INTEGER_DIGITS: Final = 40


def read_json(data: bytes, *, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """The JSON value in `data` (UTF-8): no NaN or infinity, no duplicate keys, integers of at most 40 digits, bounded depth."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {max_depth} levels") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    _check_depth(value, max_depth)
    return value


def read_yaml(data: bytes) -> Any:
    """The plain data in `data` (UTF-8, at most 1 MiB): no anchors, aliases, tags or duplicate keys, one document, bounded depth."""
    if len(data) > MAX_YAML_BYTES:
        raise ValueError(f"it has {len(data):,} bytes; at most {MAX_YAML_BYTES:,} are read")
    try:
        text = data.decode("utf-8")
        _check_events(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, stricter still
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is not plain YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """`SafeLoader` that takes text keys only, each once, and no merge keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, once its keys have been checked."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise ValueError("it has a key that is no plain text")
            if key.value in seen:
                raise ValueError(f"it names “{key.value}” twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _check_events(text: str) -> None:
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("it has anchors or aliases")
        if getattr(event, "tag", None):
            raise ValueError("it has explicit tags")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ValueError("it has more than one document")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_YAML_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_YAML_DEPTH} levels")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names “{twice}” twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it contains {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"it has an integer of {len(digits)} digits; at most {MAX_INTEGER_DIGITS} are read")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("it has a number beyond what a double holds")
    return value


def _check_depth(value: Any, max_depth: int) -> None:
    level = [value]
    depth = 0
    while level:
        level = [child for item in level for child in _children(item)]
        depth += 1
        if depth > max_depth and level:
            raise ValueError(f"it is nested deeper than {max_depth} levels")


def _children(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        yield from (child for child in item.values() if isinstance(child, dict | list))
    elif isinstance(item, list):
        yield from (child for child in item if isinstance(child, dict | list))
