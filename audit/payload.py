"""Decides the exact bytes of a ledger entry, and how personal data stays out of them.

The bytes are RFC 8785 JSON, and they are what is hashed, stored and handed out; nobody ever writes them anew to verify.
Values are kept to strings, whole numbers below 2**53, booleans, null, lists and objects with ASCII keys: for these, orjson
with sorted keys writes exactly what RFC 8785 asks, fifty times faster (`tests/audit/test_payload.py` holds the two
against each other).
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final, TypeAlias

import orjson

from audit.tiles import MAX_ENTRY_BYTES

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
Fields: TypeAlias = Mapping[str, Json]

VERSION: Final = 1
SALT_BYTES: Final = 16
MAX_TEXT: Final = 1_000
MAX_FIELD_BYTES: Final = 1_024
_LARGEST: Final = 2**53 - 1


class NotRecordable(TypeError):
    """A value that the ledger does not hold: a float, a date, a key outside ASCII, a number beyond 2**53."""


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a value; raises `NotRecordable` for what is not of the kinds named above."""
    _check(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise NotRecordable(f"the ledger cannot hold this value: {error}") from error


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

    @classmethod
    def conceal(cls, name: str, value: str) -> "Disclosure":
        """A disclosure under a fresh salt of 128 bits, so that nobody can guess the value from the digest."""
        return cls(_base64url(token_bytes(SALT_BYTES)), plain(name), plain(value))

    @property
    def digest(self) -> str:
        """base64url(SHA-256(`[salt, name, value]`)), without padding."""
        return _base64url(sha256(canonical([self.salt, self.name, self.value])).digest())


def encode_disclosures(disclosures: Iterable[Disclosure]) -> bytes:
    """The openings as stored beside an entry; empty where there are none."""
    rows: list[Json] = [[one.salt, one.name, one.value] for one in disclosures]
    return canonical(rows) if rows else b""


def decode_disclosures(stored: bytes) -> list[Disclosure]:
    """The stored openings; raises `ValueError` where they are not what `encode_disclosures` writes."""
    rows = orjson.loads(stored) if stored else []
    if not (isinstance(rows, list) and all(_is_disclosure(row) for row in rows)):
        raise ValueError("not a list of disclosures")
    return [Disclosure(*row) for row in rows]


def difference(before: Fields | None, after: Fields | None) -> dict[str, Json]:
    """The changed fields only, as `{"before": …, "after": …}`; fields that are equal on both sides are left out."""
    old, new = dict(before or {}), dict(after or {})
    same = {key for key in old.keys() & new.keys() if old[key] == new[key]}
    sides = {"before": _without(old, same), "after": _without(new, same)}
    return {side: fields for side, fields in sides.items() if fields}


def encode(fields: dict[str, Json]) -> bytes:
    """The payload: at most 65,535 bytes. Large fields of the difference `d` give way to their digest and size first."""
    payload = canonical(fields)
    if len(payload) <= MAX_ENTRY_BYTES:
        return payload
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
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
