"""MLflow's own pages at `/mlflow/`, for people who are signed in to the portal: which addresses, from where, and under which policy.

The pages' session is the portal's cookie, which a browser sends with whatever page asks; a token in a header is not sent by itself. So
here, and only here, every request has to come from these pages themselves, reading too: MLflow's server lets any page on this machine
read across origins. What goes live is never decided here: the registry's pages show, and the portal decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.utils.module_loading import import_string

from access.middleware import session_principal
from access.principal import Principal
from foundation.refusals import Forbidden, Unauthenticated
from serving.wire_rules import Needs, Rule, needs, rule

PREFIX: Final = "/mlflow"
INDEX: Final = "/"
STATIC: Final = "/static-files/"
GRAPHQL: Final = "/graphql"
LOGIN: Final = "/accounts/login/?next=/experiments/"
READING: Final = frozenset({"GET", "HEAD"})
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; frame-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""As strict as MLflow's pages allow: they write styles into the page, and draw in workers. No script but theirs, nothing from elsewhere."""
FILE_POLICY: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"

_API: Final = r"/ajax-api/[23]\.0/mlflow"
_ID: Final = r"[A-Za-z0-9_-]{1,64}"
_OF_REGISTRY: Final = re.compile(r"/api/[23]\.0/mlflow/(registered-models|model-versions|webhooks)(/.*)?")

RULES: Final[tuple[Rule, ...]] = (
    rule("GET", rf"{_API}/metrics/get-history-bulk(-interval)?", Needs.READ_RUNS),
    rule("POST", rf"{_API}/experiments/search-datasets", Needs.READ_RUNS),
    rule("POST", GRAPHQL, Needs.READ_RUNS),
    rule("GET", rf"{_API}/get-trace-artifact", Needs.READ_RUNS),
    rule("GET", r"/get-artifact", Needs.READ_FILES),
    rule("GET", rf"{_API}/artifacts/list", Needs.READ_FILES),
    rule("GET", rf"{_API}/logged-models/{_ID}/artifacts/(files|directories)", Needs.READ_FILES),
)
"""What the pages ask besides the addresses that clients have."""


def is_page(path: str) -> bool:
    """Whether an address is one of MLflow's pages, or of what they ask."""
    return path == PREFIX or path.startswith(PREFIX + "/")


def page_needs(method: str, path: str) -> Needs | None:
    """What `method` on `path`, without the prefix, needs; None where there is no such address. The registry is only read here."""
    if method in READING and (path == INDEX or path.startswith(STATIC)):
        return Needs.NOTHING if path != INDEX else Needs.CREDENTIAL
    for one in RULES:
        if method in one.methods and one.path.fullmatch(path):
            return one.needs
    if not path.startswith("/ajax-api/"):
        return None
    asked = path.replace("/ajax-api/", "/api/", 1)
    if asked.startswith("/api/2.0/mlflow-artifacts/"):
        return None
    if _OF_REGISTRY.fullmatch(asked) and (method not in READING or "/webhooks" in asked):
        return None
    return needs(method, asked)


def check_came_from_here(method: str, path: str, headers: Mapping[str, str]) -> None:
    """That the pages themselves sent it, and not another page with the browser's cookie; raises `Forbidden`.

    `Sec-Fetch-Site` is set by browsers and by no page; where one does not send it, `Origin` must be ours, and a change must have one.
    Another port of this machine is another origin.
    """
    if path == INDEX and method in READING:
        return  # a link from the portal leads here
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    ours = {_origin(settings.MLFLOW_URL), _origin(settings.PORTAL_URL)} & {_origin_of_host(headers)}
    by_origin = origin in ours if origin else method in READING
    by_site = site == "same-origin" or (site == "none" and method in READING)
    if not (by_site if site else by_origin):
        raise Forbidden(
            "This address answers to MLflow's own pages here only. Programs use the same address without /mlflow/ajax-api, with a token.",
            code="cross-origin",
        )


def session_of(headers: Mapping[str, str], meta: Mapping[str, str]) -> Principal:
    """The person of the portal's session that the cookie names; raises `Unauthenticated`."""
    request = HttpRequest()
    request.META = dict(meta)
    request.COOKIES = parse_cookie(headers.get("cookie", ""))
    store = import_string(settings.SESSION_ENGINE + ".SessionStore")
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    principal = session_principal(request)
    if principal.is_anonymous:
        raise Unauthenticated(f"Sign in first: {settings.PORTAL_URL}{LOGIN}")
    return principal


def response_headers(path: str) -> list[tuple[bytes, bytes]]:
    """What every answer under the prefix carries besides MLflow's own headers."""
    policy = POLICY if path == INDEX or path.startswith(STATIC) else FILE_POLICY
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        *([] if path.startswith(STATIC) else [(b"cache-control", b"private, no-store")]),
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _origin_of_host(headers: Mapping[str, str]) -> str:
    """The origin that the browser knows this address under, by the Host header; the scheme is the one that we are configured for."""
    return f"{urlsplit(settings.MLFLOW_URL).scheme}://{headers.get('host', '')}"
