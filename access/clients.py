"""Decides from which address a request comes, under which id it is known, and which purpose it declares.

`settings.AXES_IPWARE_PROXY_COUNT` reverse proxies are trusted, each of which appends its peer to X-Forwarded-For; so the client is
that many entries from the right, and whatever a client wrote there itself stands further left and is not believed.
(django-ipware counts from the client's side: with one proxy it believes the first of two entries, which anyone can forge.)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import structlog
from django.conf import settings
from django.http import HttpRequest

MAX_USER_AGENT: Final = 300
MAX_PURPOSE: Final = 200
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Client:
    """Where a request comes from; every field is safe to log."""

    ip: str
    user_agent: str
    request_id: str
    purpose: str = ""


def client_of(meta: Mapping[str, Any]) -> Client:
    """The client behind a request's CGI-style environment (`REMOTE_ADDR`, `HTTP_…`, `QUERY_STRING`)."""
    agent = _printable(str(meta.get("HTTP_USER_AGENT", "")))[:MAX_USER_AGENT]
    return Client(ip=address(meta), user_agent=agent, request_id=_request_id(meta), purpose=_purpose(meta))


def address(meta: Mapping[str, Any]) -> str:
    """The client's address, or an empty string where it cannot be told."""
    proxies = int(settings.AXES_IPWARE_PROXY_COUNT or 0)
    forwarded = [entry.strip() for entry in str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",")]
    peer = str(meta.get("REMOTE_ADDR", ""))
    return _valid(forwarded[-proxies] if 0 < proxies <= len(forwarded) else "") or _valid(peer)


def address_of_request(request: HttpRequest) -> str | None:
    """The same for axes, which wants None where there is none."""
    return address(request.META) or None


def _purpose(meta: Mapping[str, Any]) -> str:
    """What the request says it is for: in `X-Countersign-Purpose`, in the `X-Purpose` of earlier clients, or in `?purpose=`."""
    said = str(meta.get("HTTP_X_COUNTERSIGN_PURPOSE") or meta.get("HTTP_X_PURPOSE") or "")
    query = str(meta.get("QUERY_STRING", ""))
    if not said and "purpose=" in query:
        said = parse_qs(query).get("purpose", [""])[0]
    return _printable(said).strip()[:MAX_PURPOSE]


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _valid(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _request_id(meta: Mapping[str, Any]) -> str:
    """The id that the log lines of this request carry; a client's own only where it is short and plain."""
    bound = structlog.contextvars.get_contextvars().get("request_id") or meta.get("HTTP_X_REQUEST_ID") or ""
    return str(bound) if _REQUEST_ID.fullmatch(str(bound)) else str(uuid4())
