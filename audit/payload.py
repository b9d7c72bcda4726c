"""Decides the exact bytes of a ledger entry, and how personal data stays out of them.

The bytes are RFC 8785 JSON, and they are what is hashed, stored and handed out; nobody ever writes them anew to verify.
Values are kept to strings, whole numbers below 2**53, booleans, null, lists and objects with ASCII keys: for these, orjson
with sorted keys writes exactly what RFC 8785 asks, fifty times faster (`tests/audit/test_payload.py` holds the two
against each other).
"""

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from os import urandom
from typing import Any, Final, TypeAlias

import msgspec
import orjson

from countersign.proof.receipts import MAX_ENTRY_BYTES

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
Fields: TypeAlias = Mapping[str, Json]

VERSION: Final = 1
SALT_BYTES: Final = 16
MAX_TEXT: Final = 1_000
MAX_FIELD_BYTES: Final = 1_024
_LARGEST: Final = 2**53 - 1
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_ROWS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class NotRecordable(TypeError):
    """A value that the ledger does not hold: a float, a date, a key outside ASCII, a number beyond 2**53."""


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a value; raises `NotRecordable` for what is not of the kinds named above."""
    _check(value)
    return _dump(value)


def _check(value: Json) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise NotRecordable("the ledger holds whole numbers below 2**53; write larger ones as text")
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise NotRecordable(f"the ledger's keys are ASCII text, not {key!r}")
            _check(item)
    else:
        raise NotRecordable(
            f"the ledger holds text, whole numbers, true, false, null, lists and objects, not {type(value).__name__}: "
            "write it as text"
        )


def plain(text: str) -> str:
    """Text as the ledger holds it: at most 1,000 characters, lone surrogates (which are not Unicode text) replaced."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One piece of personal data; the ledger holds its digest, and the opening lies in a table that may be erased."""

    salt: str
    name: str
    value: str

    @property
    def digest(self) -> str:
        """base64url(SHA-256(`[salt, name, value]`)), without padding."""
        return _base64url(sha256(canonical([self.salt, self.name, self.value])).digest())


def conceal(private: Mapping[str, str]) -> tuple[list[Json], bytes]:
    """The sorted digests of freshly salted disclosures, and their openings as stored beside the entry; empty values are left out.

    A salt has 128 bits, so that nobody can guess a value from its digest.
    """
    rows = [
        orjson.dumps((_base64url(urandom(SALT_BYTES)), plain(name), plain(value)))
        for name, value in private.items()
        if value
    ]
    if not rows:
        return [], b""
    return [*_digests(rows)], b"[" + b",".join(rows) + b"]"


def digests_of(stored: bytes) -> list[str]:
    """The sorted digests of stored openings, from their bytes as they stand; raises `ValueError` where they are no list."""
    if not stored:
        return []
    try:
        return _digests(_ROWS.decode(stored))
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a list of disclosures: {error}") from error


def _digests(rows: Iterable[bytes | msgspec.Raw]) -> list[str]:
    """The sorted digests of rows, encoded in one go: with a zero byte behind it each takes 44 characters, of which 43 are its own."""
    text = _base64url(b"".join([sha256(row).digest() + b"\0" for row in rows]))
    return sorted([text[start : start + 43] for start in range(0, len(text), 44)])


def decode_disclosures(stored: bytes) -> list[Disclosure]:
    """The stored openings; raises `ValueError` where they are not what `conceal` writes."""
    rows = orjson.loads(stored) if stored else []
    if not (isinstance(rows, list) and all(_is_disclosure(row) for row in rows)):
        raise ValueError("not a list of disclosures")
    return [Disclosure(*row) for row in rows]


def difference(before: Fields | None, after: Fields | None) -> dict[str, Json]:
    """The changed fields only, as `{"before": …, "after": …}`; fields that are equal on both sides are left out."""
    if not before or not after:
        one = {"before": dict(before or {}), "after": dict(after or {})}
        return {side: fields for side, fields in one.items() if fields}
    old, new = dict(before or {}), dict(after or {})
    same = {key for key in old.keys() & new.keys() if old[key] == new[key]}
    sides = {"before": _without(old, same), "after": _without(new, same)}
    return {side: fields for side, fields in sides.items() if fields}


def encode(fields: dict[str, Json]) -> bytes:
    """The payload: at most 65,535 bytes. Large fields of the difference `d` give way to their digest and size first.

    The difference alone holds values of any kind and is checked; every other field is text and numbers by its type.
    """
    if fields["d"]:
        _check(fields["d"])
    payload = _dump(fields)
    return payload if len(payload) <= MAX_ENTRY_BYTES else _shortened(fields)


def _shortened(fields: dict[str, Json]) -> bytes:
    difference = fields.get("d")
    if not isinstance(difference, dict):
        raise NotRecordable("an entry without a difference is larger than 65,535 bytes")
    by_field: dict[str, Json] = {side: _digest_large(value) for side, value in difference.items()}
    payload = canonical(fields | {"d": by_field})
    if len(payload) > MAX_ENTRY_BYTES:
        payload = canonical(fields | {"d": {side: _digest(canonical(value)) for side, value in difference.items()}})
    if len(payload) > MAX_ENTRY_BYTES:
        raise NotRecordable("an entry is larger than 65,535 bytes even without its difference")
    return payload


def decode(payload: bytes) -> dict[str, Any]:
    """The fields of a payload; raises `ValueError` where it is not a JSON object."""
    fields = orjson.loads(payload)
    if not isinstance(fields, dict):
        raise ValueError("a payload is a JSON object")
    return fields


def _dump(value: Json) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise NotRecordable(f"the ledger cannot hold this value: {error}") from error


def _without(fields: dict[str, Json], left_out: set[str]) -> dict[str, Json]:
    return {key: value for key, value in fields.items() if key not in left_out}


def _digest_large(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    encoded = {key: canonical(field) for key, field in value.items()}
    return {key: _digest(encoded[key]) if len(encoded[key]) > MAX_FIELD_BYTES else value[key] for key in value}


def _digest(encoded: bytes) -> dict[str, Json]:
    return {"sha256": sha256(encoded).hexdigest(), "bytes": len(encoded)}


def _is_disclosure(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(isinstance(item, str) for item in row)


def _base64url(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()
