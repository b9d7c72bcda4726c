"""A ledger of each test's own: keys, state file and anchors in a folder of its own, and writers that begin at zero."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from audit import keys, writer
from audit.actions import Receipt, append_alone
from audit.events import Action, Actor, Obj
from audit.sequencer import Sequencer, initialise

ALICE = Actor(
    kind="person",
    id="a1",
    via="session",
    request_id="r-1",
    private={"ip": "192.0.2.7", "name": "alice"},
)
CREDIT = Obj(kind="model", id="7", name="credit")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The ledger makes its promises on both databases: where PostgreSQL is given, all its tests count as PostgreSQL's."""
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.postgres)


@pytest.fixture(autouse=True)
def ledger_of_its_own(settings: Settings, tmp_path: Path) -> None:
    """Nothing outside the database is shared between tests, and no writer remembers another test's entries."""
    settings.AUDIT_LOG_KEY_FILE = tmp_path / "secrets" / "ledger-key.pem"
    settings.AUDIT_LOG_ORIGIN = "countersign.test/ledger"
    settings.AUDIT_STATE_FILE = tmp_path / "ledger" / "state"
    settings.AUDIT_ANCHOR_DIR = tmp_path / "anchors"
    settings.AUDIT_ARCHIVE_DIR = tmp_path / "archive"
    settings.AUDIT_ANCHORS = []
    settings.AUDIT_MAC_KEY = b"the app's key"
    settings.AUDIT_MAC_KEY_ID = "1"
    settings.AUDIT_OLD_MAC_KEYS = {}
    writer._thread.__dict__.clear()
    writer._free.clear()


@pytest.fixture
def sequencer(db: None) -> Sequencer:
    """The sequencer of an empty, initialised ledger."""
    initialise()
    sequencer = Sequencer(keys.load_log_key())
    sequencer.start()
    return sequencer


def happen(
    count: int = 1, *, by: Actor = ALICE, obj: Obj = CREDIT, action: Action = Action.MODEL_UPDATE
) -> list[Receipt]:
    """Let something happen `count` times."""
    return [append_alone(action, by=by, obj=obj, after={"round": number}) for number in range(count)]


@pytest.fixture
def ledger(sequencer: Sequencer) -> Sequencer:
    """A ledger of 600 entries in three ticks: two full bundles and tiles, and a partial one."""
    for count in (100, 300, 200):
        happen(count)
        assert sequencer.tick() == count
    return sequencer
