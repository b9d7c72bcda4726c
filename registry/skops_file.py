"""Whether a skops file holds only what our workers load: a plain archive, known nodes, trusted types, plain arrays.

Pure: nothing in the file is imported, constructed or unpickled. Two kinds of findings: what makes a file hostile or broken
(refused), and what a library may well write but our workers do not load (kept, not served).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from registry import archive, npy, trusted_types
from registry.strict import read_json

SCHEMA: Final = "schema.json"
MAX_SCHEMA_BYTES: Final = 64 * 1024**2
MAX_SCHEMA_DEPTH: Final = 400
MAX_NODES: Final = 2_000_000
LIBRARIES: Final = ("sklearn.", "numpy.", "scipy.", "pandas.", "xgboost.", "lightgbm.", "_loss.", "functools.partial")
UNLOADED_NODES: Final = frozenset(
    {
        "CachedNode",
        "ConstructorFromReduceNode",
        "MethodNode",
        "OperatorFuncNode",
        "PartialNode",
        "SparseMatrixNode",
        "TreeNode",
    }
)
"""Nodes that skops writes and that our workers do not load: they hold raw indices, calls, or arrays within arrays."""

_MEMBER: Final = re.compile(r"[0-9a-f-]{1,40}\.(npy|bin)")
_TYPE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: a stable code, a sentence, and whether it refuses the file or only keeps it from being served."""

    code: str
    detail: str
    refuses: bool


@dataclass(slots=True)
class _Reading:
    """One pass over the nodes: what was found and which members they name."""

    findings: dict[str, Finding] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    nodes: int = 0

    def refuse(self, code: str, detail: str) -> None:
        self.findings.setdefault(detail, Finding(code, detail, refuses=True))

    def unserved(self, code: str, detail: str) -> None:
        self.findings.setdefault(detail, Finding(code, detail, refuses=False))


def examine(file: BinaryIO, size: int) -> list[Finding]:
    """Everything against the skops file of `size` bytes; empty when our workers load it."""
    try:
        entries = {member.name: member.size for member in archive.members(file, size)}
    except ValueError as error:
        return [Finding("skops-archive", f"The skops file is not a plain archive: {error}.", refuses=True)]
    if entries.get(SCHEMA, MAX_SCHEMA_BYTES + 1) > MAX_SCHEMA_BYTES:
        return [Finding("skops-schema", "The skops file has no schema.json, or one beyond 64 MiB.", refuses=True)]
    with zipfile.ZipFile(file) as opened:
        try:
            schema = read_json(opened.read(SCHEMA), max_depth=MAX_SCHEMA_DEPTH)
            reading = _read(schema)
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, RecursionError) as error:
            return [
                Finding(
                    "skops-schema", f"The skops file's schema.json is not one that skops writes: {error}.", refuses=True
                )
            ]
        reading.files[SCHEMA] = "schema"
        _check_members(opened, entries, reading)
    return list(reading.findings.values())


def type_finding(name: str) -> Finding | None:
    """What the name of a type that somebody asks us to trust says; nothing when it is on our list."""
    if (
        name
        in trusted_types.OBJECTS
        | trusted_types.LOSSES
        | trusted_types.FUNCTIONS
        | trusted_types.TYPES
        | trusted_types.BEYOND_DEFAULT
    ):
        return None
    if _TYPE_NAME.fullmatch(name) and name.startswith(LIBRARIES):
        return Finding("skops-untrusted", f"The type {name} is not one that our workers load.", refuses=False)
    return Finding("skops-type", f"The type {name[:120]!r} belongs to no library that a model may bring.", refuses=True)


def _read(schema: Any) -> _Reading:
    if not isinstance(schema, dict):
        raise ValueError("it is no object")
    protocol = schema.pop("protocol")
    if protocol != trusted_types.PROTOCOL or isinstance(protocol, bool):
        raise ValueError(f"it has the protocol {protocol!r}; this release reads {trusted_types.PROTOCOL}")
    if not isinstance(schema.pop("_skops_version"), str):
        raise ValueError("it does not say which skops wrote it")
    reading = _Reading()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        reading.nodes += 1
        if reading.nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} nodes")
        waiting.extend(_visit(node, reading))
    return reading


def _visit(node: Any, reading: _Reading) -> Iterator[Any]:
    """Check one node and yield the nodes inside it."""
    if not isinstance(node, dict):
        raise ValueError("a node is no object")
    loader, name = node["__loader__"], _type_name(node)
    if not isinstance(loader, str) or not isinstance(node.get("__id__", 0), int):
        raise ValueError("a node has a loader or an id of the wrong kind")
    if loader in UNLOADED_NODES:
        _unloaded(loader, name, reading)
        return
    visit = _NODES.get(loader)
    if visit is None:
        reading.refuse("skops-node", f"The skops file has a node {loader[:60]!r}, which skops does not write.")
        return
    keys, allowed, inside = visit
    unknown = set(node) - keys - {"__class__", "__module__", "__loader__", "__id__"}
    if unknown:
        raise ValueError(f"a {loader} has the unknown field {sorted(unknown)[0][:60]!r}")
    if name not in allowed:
        _untrusted(name, reading)
    yield from inside(node, reading)


def _type_name(node: dict[str, Any]) -> str:
    module, name = node["__module__"], node["__class__"]
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a node does not name its type")
    return f"{module}.{name}"


def _untrusted(name: str, reading: _Reading) -> None:
    finding = type_finding(name) or Finding(
        "skops-type", f"The type {name} stands where it does not belong.", refuses=True
    )
    reading.findings.setdefault(finding.detail, finding)


def _unloaded(loader: str, name: str, reading: _Reading) -> None:
    finding = type_finding(name)
    if finding is not None and finding.refuses:
        reading.findings.setdefault(finding.detail, finding)
    reading.unserved(
        "skops-node-unserved", f"The skops file has a {loader} ({name[:80]}), which our workers do not load."
    )


def _no_children(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    yield from ()


def _json_value(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    content = node["content"]
    if not isinstance(content, str) or node.get("is_json") is not True:
        raise ValueError("a JsonNode holds no JSON text")
    if content not in ("NaN", "Infinity", "-Infinity"):  # what skops writes for a parameter such as missing_values=nan
        read_json(content.encode())
    yield from ()


def _items(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    yield from _list(node["content"])


def _mapping(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    if not isinstance(node["content"], dict) or node["key_types"].get("__loader__") != "ListNode":
        raise ValueError("a DictNode has no keys with types")
    if len(node["key_types"]["content"]) < len(node["content"]):
        raise ValueError("a DictNode has fewer types than keys")
    yield node["key_types"]
    yield from node["content"].values()


def _default_mapping(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    yield from _exactly(node["content"], "main", "default_factory")


def _array(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    if node["type"] == "numpy" and "content" not in node and "shape" not in node:
        _member(node, "npy", reading)
    elif node["type"] == "json" and "file" not in node:
        yield from _list(node["content"])
        yield node["shape"]
    else:
        raise ValueError("an array is neither stored as an array nor as a list")


def _masked(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    yield from _exactly(node["content"], "data", "mask")


def _single(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    yield node["content"]


def _attributes(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    if node.get("content") is not None:
        yield node["content"]


def _generator(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    """NumPy calls the class whose name stands in the state as plain text, so the name is checked here."""
    bit_generator, seed = _exactly(node["content"], "bit_generator", "seed_seq")
    name = json.loads(bit_generator["content"]["bit_generator"]["content"])
    if f"numpy.random.{name}" not in trusted_types.BIT_GENERATORS:
        reading.refuse("skops-type", f"The random generator {str(name)[:60]!r} is not one of NumPy's.")
    yield bit_generator
    yield seed


def _loss(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    (arguments,) = _exactly(node["__reduce__"], "args")
    yield arguments
    yield node["content"]


def _slice(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    for bound in _exactly(node["content"], "start", "stop", "step"):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int)):
            raise ValueError("a slice has a bound that is no integer")
    yield from ()


def _bytes(node: dict[str, Any], reading: _Reading) -> Iterator[Any]:
    _member(node, "bin", reading)
    yield from ()


def _member(node: dict[str, Any], kind: str, reading: _Reading) -> None:
    name = node["file"]
    if not isinstance(name, str) or not _MEMBER.fullmatch(name) or not name.endswith(kind):
        raise ValueError(f"a node names the file {str(name)[:60]!r}")
    if reading.files.setdefault(name, kind) != kind:
        raise ValueError(f"two nodes read {name} as different things")


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError("a node that holds a list holds something else")
    return content


def _exactly(content: Any, *keys: str) -> list[Any]:
    if not isinstance(content, dict) or set(content) != set(keys):
        raise ValueError(f"a node does not hold exactly {', '.join(keys)}")
    return [content[key] for key in keys]


_Inside = Callable[[dict[str, Any], _Reading], Iterator[Any]]
_CONTENT: Final = frozenset({"content"})
_NODES: Final[dict[str, tuple[frozenset[str], frozenset[str], _Inside]]] = {
    "JsonNode": (frozenset({"content", "is_json"}), frozenset({"builtins.str"}), _json_value),
    "ListNode": (_CONTENT, frozenset({"builtins.list"}), _items),
    "TupleNode": (_CONTENT, frozenset({"builtins.tuple"}), _items),
    "SetNode": (_CONTENT, frozenset({"builtins.set"}), _items),
    "DictNode": (
        frozenset({"content", "key_types"}),
        frozenset({"builtins.dict", "collections.OrderedDict"}),
        _mapping,
    ),
    "DefaultDictNode": (_CONTENT, frozenset({"collections.defaultdict"}), _default_mapping),
    "NdArrayNode": (frozenset({"content", "type", "shape", "file"}), trusted_types.ARRAYS, _array),
    "MaskedArrayNode": (_CONTENT, trusted_types.MASKED_ARRAYS, _masked),
    "DTypeNode": (_CONTENT, trusted_types.BEYOND_DEFAULT, _single),
    "RandomStateNode": (_CONTENT, trusted_types.RANDOM_STATES, _single),
    "RandomGeneratorNode": (_CONTENT, trusted_types.RANDOM_GENERATORS, _generator),
    "ObjectNode": (_CONTENT, trusted_types.OBJECTS, _attributes),
    "LossNode": (frozenset({"content", "__reduce__"}), trusted_types.LOSSES, _loss),
    "FunctionNode": (frozenset(), trusted_types.FUNCTIONS, _no_children),
    "TypeNode": (frozenset(), trusted_types.TYPES, _no_children),
    "SliceNode": (_CONTENT, frozenset({"builtins.slice"}), _slice),
    "BytesNode": (frozenset({"file"}), frozenset({"builtins.bytes"}), _bytes),
    "BytearrayNode": (frozenset({"file"}), frozenset({"builtins.bytearray"}), _bytes),
}


def _check_members(opened: zipfile.ZipFile, entries: dict[str, int], reading: _Reading) -> None:
    """Every member is named by a node and every named member is there; arrays are plain arrays."""
    loads_all = not any(finding.code == "skops-node-unserved" for finding in reading.findings.values())
    for name in sorted(reading.files.keys() - entries.keys()):
        reading.refuse("skops-member", f"A node names the file {name}, which the skops file does not hold.")
    for name, size in entries.items():
        kind = reading.files.get(name)
        if kind is None and loads_all:
            reading.refuse("skops-member", f"The skops file holds {name}, which no node names.")
        if name.endswith(".npy"):
            _check_array(opened, name, size, reading)
        elif kind == "bin":
            _check_readable(opened, name, reading)


def _check_array(opened: zipfile.ZipFile, name: str, size: int, reading: _Reading) -> None:
    try:
        with opened.open(name) as member:
            npy.check(member, size)
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        reading.refuse("npy", f"The array {name} in the skops file is not a plain one: {error}.")


def _check_readable(opened: zipfile.ZipFile, name: str, reading: _Reading) -> None:
    try:
        with opened.open(name) as member:
            while member.read(1024**2):
                pass
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        reading.refuse("skops-archive", f"The entry {name} of the skops file is damaged: {error}.")
