"""From which address a request comes: what a client writes into X-Forwarded-For itself is never believed."""

from __future__ import annotations

import pytest
import structlog
from pytest_django.fixtures import Settings

from access.clients import address, client_of

FORGED, REAL, PROXY = "198.51.100.66", "203.0.113.9", "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "expected"),
    [
        (0, "", REAL, REAL),
        (0, FORGED, REAL, REAL),
        (0, f"{FORGED}, {FORGED}", REAL, REAL),
        (1, REAL, PROXY, REAL),
        (1, f"{FORGED}, {REAL}", PROXY, REAL),
        (1, f"{FORGED}, {FORGED}, {REAL}", PROXY, REAL),
        (2, f"{FORGED}, {REAL}, 10.0.0.2", PROXY, REAL),
        (2, REAL, PROXY, PROXY),
        (1, "", PROXY, PROXY),
        (1, "garbage", PROXY, PROXY),
        (0, "", "", ""),
        (0, "", "unix:", ""),
        (1, "2001:db8::1", PROXY, "2001:db8::1"),
    ],
)
def test_the_address_is_the_one_that_the_outermost_trusted_proxy_saw(
    proxies: int, forwarded: str, peer: str, expected: str, settings: Settings
) -> None:
    settings.AXES_IPWARE_PROXY_COUNT = proxies

    assert address({"HTTP_X_FORWARDED_FOR": forwarded, "REMOTE_ADDR": peer}) == expected


def test_a_user_agent_cannot_write_lines_into_logs() -> None:
    client = client_of({"HTTP_USER_AGENT": "curl\r\n\x1b[31mlevel=error" + "x" * 1000})

    assert client.user_agent.startswith("curl[31mlevel=error")
    assert client.user_agent.isprintable()
    assert len(client.user_agent) == 300


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-123", True), ("a\r\nb", False), ("x" * 65, False), ("", False), ("ü", False)]
)
def test_a_clients_own_request_id_is_kept_only_where_it_is_short_and_plain(sent: str, kept: bool) -> None:
    with structlog.contextvars.bound_contextvars(request_id=sent):
        found = client_of({}).request_id

    assert (found == sent) == kept
    assert len(found) >= 7
