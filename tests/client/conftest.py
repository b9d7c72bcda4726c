"""A registry to pull from, and folders of the client's own, so that nobody's home is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from countersign import Registry
from tests.client.standin import TOKEN, StandIn

OpenRegistry = Callable[..., Registry]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client keeps its things in this test."""
    for name in ("COUNTERSIGN_URL", "COUNTERSIGN_TOKEN", "COUNTERSIGN_KEY", "COUNTERSIGN_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    return tmp_path / "home"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A registry that answers as the real one does, until told otherwise."""
    found = StandIn()
    yield found
    found.close()


@pytest.fixture
def key_file(stand_in: StandIn, tmp_path: Path) -> Path:
    """Its public keys, as somebody was handed them."""
    path = tmp_path / "registry.pub"
    path.write_text(stand_in.key_file)
    return path


@pytest.fixture
def open_registry(stand_in: StandIn, key_file: Path) -> Iterator[OpenRegistry]:
    """Opens the stand-in with its token and key, with no waiting between attempts; closes everything at the end."""
    opened: list[Registry] = []

    def open_(**more: object) -> Registry:
        registry = Registry(stand_in.url, **({"token": TOKEN, "key": key_file} | more))  # type: ignore[arg-type]  # a test's own words
        registry._session.sleep = lambda seconds: None
        opened.append(registry)
        return registry

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def registry(open_registry: OpenRegistry) -> Registry:
    """The stand-in, opened."""
    return open_registry()
