"""Decides which registry is spoken to and with which token: arguments first, the environment next, what `login` kept last."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from countersign import places
from countersign.errors import Misused

FILE: Final = "credentials.json"
URL: Final = "COUNTERSIGN_URL"
TOKEN: Final = "COUNTERSIGN_TOKEN"  # noqa: S105 - the name of a variable
PLAIN_HTTP: Final = "COUNTERSIGN_ALLOW_HTTP"


@dataclass(frozen=True, slots=True)
class Access:
    """A registry's address and the token for it; the token is left out of the representation."""

    url: str
    token: str = field(repr=False)


def find_access(url: str = "", token: str = "") -> Access:
    """Where to go and with what; raises `Misused` where nothing says so."""
    kept = _kept()
    chosen = origin_of(url or os.environ.get(URL, "") or str(kept.get("default", "")))
    known = kept["registries"].get(chosen, {})
    secret = token or token_of_environment() or str(known.get("token", ""))
    if not secret:
        raise Misused(
            f"There is no token for {chosen}: run `countersign login {chosen}`, or set {TOKEN}.", reason="not-logged-in"
        )
    return Access(chosen, check_token(secret))


def token_of_environment() -> str:
    """The token in the environment, or nothing."""
    return os.environ.get(TOKEN, "")


def keep(access: Access) -> Path:
    """Keep the token for this registry, readable by its owner only, and make the registry the one that is meant by default."""
    folder = places.config_folder()
    places.make_folder(folder, 0o700)
    kept = _kept()
    kept["registries"][access.url] = {"token": access.token}
    path = folder / FILE
    places.write_whole(path, places.as_json(kept | {"default": access.url}), mode=0o600)
    return path


def forget(url: str = "") -> str:
    """Forget the token of a registry; its address. Raises `Misused` where there is none."""
    kept = _kept()
    chosen = origin_of(url or str(kept.get("default", "")))
    if kept["registries"].pop(chosen, None) is None:
        raise Misused(f"No token is kept for {chosen}.", reason="not-logged-in")
    if kept.get("default") == chosen:
        kept["default"] = next(iter(kept["registries"]), "")
    places.write_whole(places.config_folder() / FILE, places.as_json(kept), mode=0o600)
    return chosen


def check_token(token: str) -> str:
    """The token without the blanks around it; raises `Misused` where it cannot stand in a header."""
    bare = token.strip()
    if not bare or not bare.isascii() or not bare.isprintable() or " " in bare:
        raise Misused("This is no token: a token is one word of letters, digits and signs (cs_…).", reason="token")
    return bare


def origin_of(url: str) -> str:
    """The registry's address as `scheme://host[:port]`; raises `Misused`, also for plain http to another machine."""
    text = url.strip().rstrip("/")
    if not text:
        raise Misused(
            f"Which registry? Give its address (`countersign login https://…`) or set {URL}.", reason="no-registry"
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Misused(f"“{text}” is no address of a registry: https://host is.", reason="url") from error
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.path or parts.query:
        raise Misused(
            f"“{text}” is no address of a registry: https://host is, without anything after it.", reason="url"
        )
    if parts.scheme == "http" and not _on_this_machine(host) and os.environ.get(PLAIN_HTTP) != "1":
        raise Misused(
            f"{text} is plain http, over which anybody on the way reads your token. Use https, or, where the network itself is "
            f"protected, set {PLAIN_HTTP}=1.",
            reason="plain-http",
        )
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{port}" if port is not None else "")


def _on_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _kept() -> dict[str, Any]:
    path = places.config_folder() / FILE
    if path.exists() and path.stat().st_mode & 0o077:
        raise Misused(f"Others can read {path}, and it holds tokens: run `chmod 600` on it.", reason="credentials-open")
    kept = places.read_object(path) or {}
    if not isinstance(kept.setdefault("registries", {}), dict):
        raise Misused(f"{path} cannot be read. Delete it and log in again.", reason="state")
    return kept
