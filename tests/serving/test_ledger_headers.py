"""Every way in which a pull is answered names its own entry and the newest checkpoint, so that whoever pulls can hold the ledger to it."""

from __future__ import annotations

import base64

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from audit.actions import Receipt
from audit.models import Checkpoint
from audit.queries import entries
from audit.sequencer import Sequencer
from countersign.proof.manifest import ManifestFile
from registry.models import ModelVersion
from serving.ledger_headers import ledger_headers
from tests.audit.conftest import ledger_of_its_own, sequencer
from tests.serving.test_api import body
from tests.serving.test_pulls import address, file, scorer_api
from tests.serving.test_wire_ranges import asked

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


def test_over_mlflows_addresses_every_answer_does_too(
    transactional_db: None, sequencer: Sequencer, scorer_token: str, released: ModelVersion, file: ManifestFile
) -> None:
    sequencer.tick()
    answers = [
        asked(scorer_token, file.path),
        asked(scorer_token, file.path, range="bytes=0-9"),
        asked(scorer_token, file.path, if_none_match=f'"{file.sha256}"'),
        asked(scorer_token, file.path, range=f"bytes={file.size}-"),
    ]

    written = {f"{one.entry.writer}/{one.entry.n}": one.entry for one in entries()}
    named = [written[said["countersign-ledger-entry"]] for _, said, _ in answers]
    assert [one.after.get("step") or one.after["answer"] for one in named] == ["begun", "begun", "304", "416"]
    newest = base64.b64encode(Checkpoint.objects.latest("size").note.encode()).decode()
    assert {said["countersign-ledger-checkpoint"] for _, said, _ in answers} == {newest}


@pytest.mark.django_db
def test_where_nothing_was_signed_yet_no_checkpoint_is_named() -> None:
    receipt = Receipt("w1", 7, 0, b"")

    assert ledger_headers(receipt) == {"Countersign-Ledger-Entry": "w1/7"}


def test_a_checkpoint_that_the_caller_knows_is_the_one_that_is_named(sequencer: Sequencer) -> None:
    sequencer.tick()
    receipt = Receipt("w1", 7, 0, b"")

    assert base64.b64decode(ledger_headers(receipt, "known\n")["Countersign-Ledger-Checkpoint"]) == b"known\n"
    assert "Countersign-Ledger-Checkpoint" not in ledger_headers(receipt, "")
