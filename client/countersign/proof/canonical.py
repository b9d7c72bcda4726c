"""Canonical JSON (RFC 8785): the same value gives the same bytes everywhere, so that its digest can be signed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

SHA256: Final = re.compile(r"[0-9a-f]{64}")  # how a digest is written
_LARGEST: Final = 2**53 - 1
_DEEPEST: Final = 200
_text: Final = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> bytes:
    """`value` (JSON types only; finite numbers, whole ones below 2**53) as RFC 8785 bytes; raises `ValueError` for anything else."""
    parts: list[str] = []
    _write(value, parts.append, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise ValueError("This value has no canonical form: a text in it is not Unicode.") from error


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """The SHA-256 of the canonical form of `value`, as 64 hexadecimal digits."""
    return sha256_hex(canonical(value))


def number_text(number: float) -> str:
    """A finite number as ECMAScript writes it (ECMA-262, Number::toString), which is what RFC 8785, section 3.2.2.3, asks for.

    Python's `repr` gives the same shortest digits; only where the point stands and when there is an exponent differ.
    """
    if number == 0:
        return "0"
    sign, shown = ("-", repr(-number)) if number < 0 else ("", repr(number))
    mantissa, _, exponent = shown.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """`digits` with the decimal point before the `point`-th of them (it may lie outside of them)."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{rest}e{point - 1:+d}"


def _write(value: Any, write: Callable[[str], None], depth: int) -> None:
    if isinstance(value, str):
        write(_text(value))
    elif value is None or value is True or value is False:
        write("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise ValueError("This value has no canonical form: a whole number in it is beyond 2**53.")
        write(int.__repr__(value))
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError("This value has no canonical form: a number in it is not finite.")
        write(number_text(value))
    elif depth >= _DEEPEST:
        raise ValueError("This value has no canonical form: it is nested too deeply.")
    elif isinstance(value, dict):
        _write_object(value, write, depth + 1)
    elif isinstance(value, (list, tuple)):
        _write_list(value, write, depth + 1)
    else:
        raise ValueError(f"This value has no canonical form: JSON has no {type(value).__name__}.")


def _write_object(value: dict[Any, Any], write: Callable[[str], None], depth: int) -> None:
    before = "{"
    for key in _sorted(value):
        write(before)
        write(_text(key))
        write(":")
        _write(value[key], write, depth)
        before = ","
    write("{}" if before == "{" else "}")


def _write_list(value: list[Any] | tuple[Any, ...], write: Callable[[str], None], depth: int) -> None:
    before = "["
    for item in value:
        write(before)
        _write(item, write, depth)
        before = ","
    write("[]" if before == "[" else "]")


def _sorted(value: dict[Any, Any]) -> list[str]:
    """The names in order of their UTF-16 code units (RFC 8785, section 3.2.3), which for ASCII is the order of the text."""
    keys = list(value)
    if any(not isinstance(key, str) for key in keys):
        raise ValueError("This value has no canonical form: a name in it is not a text.")
    if all(map(str.isascii, keys)):
        return sorted(keys)
    try:
        return sorted(keys, key=lambda key: key.encode("utf-16-be"))
    except UnicodeEncodeError as error:
        raise ValueError("This value has no canonical form: a name in it is not Unicode.") from error
