"""The live tail of the audit log: what is logged appears by itself, is announced, and waits while it is paused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from django.urls import reverse
from playwright.sync_api import Page, expect

from audit import keys
from audit.actions import append_alone
from audit.events import Action, Actor, Obj
from audit.queries import latest_checkpoint
from audit.sequencer import Sequencer, initialise
from tests.browser.world import World

Visit = Callable[..., Page]


@pytest.fixture
def sequencer(installation: World, tmp_path: Path) -> Iterator[Sequencer]:
    """Somebody who logs and signs on request."""
    with override_settings(
        AUDIT_STATE_FILE=tmp_path / "state", AUDIT_ANCHOR_DIR=tmp_path / "anchors", AUDIT_ANCHORS=[]
    ):
        if latest_checkpoint() is not None:
            pytest.skip("another test of this session has begun the ledger, whose state file is gone")
        initialise()
        found = Sequencer(keys.load_log_key())
        found.start()
        while found.tick():
            continue
        yield found


def happen(sequencer: Sequencer, name: str) -> None:
    append_alone(Action.MODEL_VIEW, by=Actor("system", "tail", "test"), obj=Obj("model", "1", name))
    sequencer.tick()


def test_new_entries_appear_and_wait_while_paused(installation: World, sequencer: Sequencer, visit: Visit) -> None:
    page = visit(reverse("audit:log") + "?live=1&action=model.view", "dave")
    happen(sequencer, "first-seen")

    row = page.locator("#live-rows tr", has_text="first-seen")
    expect(row).to_have_count(1, timeout=15_000)
    expect(page.locator("[data-live-status]")).to_contain_text("1 new entry")
    page.get_by_role("button", name="Pause").click()
    happen(sequencer, "held-back")
    page.wait_for_timeout(4_500)
    expect(page.locator("#live-rows tr", has_text="held-back")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#live-rows tr", has_text="held-back")).to_have_count(1, timeout=15_000)
    expect(row).to_have_count(1)
