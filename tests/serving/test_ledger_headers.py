"""Every way in which a pull is answered names its own entry and the newest checkpoint, so that whoever pulls can hold the ledger to it."""

from __future__ import annotations

import base64

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from audit.models import Checkpoint
from audit.queries import entries
from audit.sequencer import Sequencer
from countersign.proof.manifest import ManifestFile
from tests.audit.conftest import ledger_of_its_own, sequencer
from tests.serving.test_api import body
from tests.serving.test_pulls import address, file, scorer_api

__all__ = ["address", "file", "ledger_of_its_own", "scorer_api", "sequencer"]


@pytest.mark.parametrize("how", ["whole", "in part", "asked", "confirmed", "handed over"])
def test_every_answer_names_its_entry_and_the_newest_checkpoint(
    sequencer: Sequencer, scorer_api: APIClient, address: str, file: ManifestFile, settings: Settings, how: str
) -> None:
    sequencer.tick()
    if how == "handed over":
        settings.ACCEL_PREFIX = "/_artifacts/"
    headers = {"in part": {"Range": "bytes=0-9"}, "confirmed": {"If-None-Match": f'"{file.sha256}"'}}.get(how, {})

    answer = scorer_api.head(address) if how == "asked" else scorer_api.get(address, headers=headers)
    if answer.streaming:
        body(answer)

    writer, _, n = answer["Countersign-Ledger-Entry"].partition("/")
    (named,) = [one.entry for one in entries() if (one.entry.writer, one.entry.n) == (writer, int(n))]
    assert named.obj_kind == "version"
    note = base64.b64decode(answer["Countersign-Ledger-Checkpoint"]).decode()
    assert note == Checkpoint.objects.latest("size").note
