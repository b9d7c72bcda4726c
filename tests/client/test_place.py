"""What stands behind an alias: never an older promotion than was proven before, whatever a server that lies answers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import countersign
from countersign import Misused, NotProven, Registry
from countersign.cli import main
from countersign.memory import Memory
from tests.client.conftest import OpenRegistry
from tests.client.standin import TOKEN, Ledger, StandIn, promotion_entry

Document = dict[str, Any]


@pytest.fixture
def older(registry: Registry, stand_in: StandIn, tmp_path: Path) -> Document:
    """The answer of before: version 3, approved to this day; version 4 took its place, and was pulled."""
    document = stand_in.document()
    stand_in.version = 4
    registry.pull("credit@champion", tmp_path / "model")
    return document


def lie(stand_in: StandIn, document: Document, **more: Any) -> None:
    """Have an older answer given again, in today's clothes."""
    stand_in.change = lambda _: stand_in.shown_again(document) | more


def refused(registry: Registry, ref: str, to: Path, **more: Any) -> NotProven:
    with pytest.raises(NotProven) as refusal:
        registry.pull(ref, to, **more)
    return refusal.value


@pytest.mark.parametrize("ref", ["credit@champion", "credit@production"])
def test_an_older_version_that_is_still_approved_does_not_come_back(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path, ref: str
) -> None:
    lie(stand_in, older)

    found = refused(registry, ref, tmp_path / "model")

    assert found.reason == "rollback"
    assert (
        "stand for version 4 (entry 6 of the ledger), and credit version 3 was promoted before that (entry 5)"
        in str(found)
    )
    assert countersign.verify(tmp_path / "model", ref=ref).release.version == 4


@pytest.mark.parametrize("named", ["champion", "challenger", None])
def test_under_whatever_alias_a_lying_server_says_it_is(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path, named: str | None
) -> None:
    lie(stand_in, older, alias=named)

    assert refused(registry, "credit@champion", tmp_path / "model").reason in {"rollback", "other-release"}
    assert refused(registry, "credit@production", tmp_path / "model").reason in {"rollback", "other-release"}


def test_what_a_pull_by_number_proved_counts_for_the_alias(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    document = stand_in.document()
    stand_in.version = 4
    registry.pull("credit/4", tmp_path / "model", stage="production")
    lie(stand_in, document)

    assert refused(registry, "credit@champion", tmp_path / "model").reason == "rollback"


def test_an_older_version_is_had_by_its_number_and_by_a_free_alias(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    lie(stand_in, older, alias=None)
    by_number = registry.pull("credit/3", tmp_path / "three")
    lie(stand_in, older, alias="challenger")
    by_alias = registry.pull("credit@challenger", tmp_path / "challenger")

    assert (by_number.release.version, by_alias.release.version) == (3, 3)
    assert refused(registry, "credit/3", tmp_path / "other", held_to="production").reason == "other-release"
    lie(stand_in, older)
    assert refused(registry, "credit@champion", tmp_path / "model").reason == "rollback"


def test_a_promotion_that_is_not_proven_does_not_take_the_place_of_one_that_was(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    before = len(stand_in.requests("/aliases/"))
    lie(stand_in, older)
    honest = stand_in.change
    stand_in.change = lambda _: (found := honest(_)) | {"ledger": found["ledger"] | {"promotion": None}}

    found = refused(registry, "credit@champion", tmp_path / "model")

    assert (found.reason, "no signed entry" in str(found)) == ("pending", True)
    assert len(stand_in.requests("/aliases/")) == before + 5


def test_a_promotion_that_is_signed_within_seconds_is_waited_for(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    stand_in.version, unsigned = 5, [True, True]

    def late(document: Document) -> Document:
        return (
            document | {"ledger": document["ledger"] | {"promotion": None}} if unsigned and unsigned.pop() else document
        )

    stand_in.change = late

    assert registry.pull("credit@champion", tmp_path / "model").release.version == 5


def test_the_version_that_was_proven_may_be_renewed(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    stand_in.change = lambda document: document | {"ledger": document["ledger"] | {"promotion": None}}

    assert registry.pull("credit@champion", tmp_path / "model").release.version == 4


def test_a_rollback_that_is_on_record_is_a_promotion_like_any_other(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    newer = stand_in.document()
    stand_in.version = 3

    assert registry.pull("credit@champion", tmp_path / "model").release.version == 3
    lie(stand_in, newer)
    assert refused(registry, "credit@champion", tmp_path / "model").reason == "rollback"


def test_an_approval_for_another_stage_does_not_stand_behind_the_alias(
    registry: Registry, stand_in: StandIn, older: Document, tmp_path: Path
) -> None:
    stand_in.stage, stand_in.version = "staging", 5

    found = refused(registry, "credit@champion", tmp_path / "model")

    assert (found.reason, "proven before to stand for production" in str(found)) == ("other-release", True)


Change = Callable[[Document], object]
_OTHER: dict[str, tuple[Change, str]] = {
    "model": (lambda one: one["obj"].update(name="fraud"), "promoted model fraud"),
    "version": (lambda one: one["d"]["after"].update(version=4), "promoted version 4"),
    "stage": (lambda one: one["d"]["after"].update(stage="staging"), "promoted stage staging"),
    "no alias": (lambda one: one["d"]["after"].update(alias=""), "which alias"),
    "not a model": (lambda one: one["obj"].update(kind="version"), "which alias"),
    "another release": (lambda one: one["d"]["after"].update(release="0" * 64), "not the promotion"),
    "a free alias": (lambda one: one["d"]["after"].pop("release"), "not the promotion"),
    "another action": (lambda one: one.update(action="version.promote"), "not the promotion"),
    "a refusal": (lambda one: one.update(outcome="denied"), "not the promotion"),
}


@pytest.mark.parametrize("what", sorted(_OTHER))
def test_the_entry_says_what_was_asked_for(registry: Registry, stand_in: StandIn, tmp_path: Path, what: str) -> None:
    change, said = _OTHER[what]

    def other(document: Document) -> Document:
        release = next(reversed(stand_in.promoted))
        entry = promotion_entry(3, release)
        change(entry)
        receipt = stand_in.ledger.receipt(stand_in.ledger.append(entry))
        return document | {"ledger": stand_in.ledger_part(receipt)}

    stand_in.change = other

    found = refused(registry, "credit@champion", tmp_path / "model")

    assert (found.reason, said in str(found)) == ("ledger", True), str(found)


def test_a_receipt_under_another_head_than_the_one_that_is_held_to_the_past_proves_nothing(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    def split(document: Document) -> Document:
        fork = Ledger()
        fork.signer, fork.entries = (
            stand_in.ledger.signer,
            [*stand_in.ledger.entries[:-1], b"{}", stand_in.ledger.entries[-1]],
        )
        receipt = fork.receipt(len(fork.entries) - 1)
        told = {"payload": b64encode(receipt.payload).decode(), "receipt": receipt.tlog_proof.decode()}
        return document | {"ledger": document["ledger"] | {"promotion": told}}

    stand_in.change = split

    assert "under another checkpoint" in str(refused(registry, "credit@champion", tmp_path / "model"))


def test_the_ledger_that_took_another_s_place_goes_on_after_it(
    open_registry: OpenRegistry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    stand_in.ledger.entries *= 4
    open_registry().pull("credit@champion", tmp_path / "model")
    given_up = stand_in.ledger.signer.verifier
    stand_in.ledger, stand_in.version = Ledger("ledger-2.example.org"), 4
    key_file.write_text(
        stand_in.key_file.replace(
            str(stand_in.ledger.signer.verifier), f"{given_up}\n{stand_in.ledger.signer.verifier}"
        )
    )

    found = open_registry().pull("credit@champion", tmp_path / "model")

    assert (found.release.version, found.entry) == (4, 5)


def announced(version: int, model: str = "credit") -> str:
    said = {"ref": "credit@production", "model": model, "version": version, "stage": "production"}
    return f"id: 1\nevent: release\ndata: {json.dumps(said)}\n\n"


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("model", ["credit", "fraud"])
def test_a_watch_does_not_pull_what_a_lying_server_announces(
    stand_in: StandIn,
    older: Document,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("COUNTERSIGN_URL", stand_in.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    stand_in.events = [announced(3, model)]
    lie(stand_in, older, alias=None)

    code = main(["watch", "credit@production", "--once", "--pull", str(tmp_path / "model")])

    assert (code, "was promoted before that" in capsys.readouterr().err) == (1, True)
    assert stand_in.requests("/models/fraud/") == []
    assert countersign.verify(tmp_path / "model").release.version == 4


@pytest.fixture
def kept(registry: Registry, stand_in: StandIn, tmp_path: Path) -> Path:
    """A folder that was pulled as the champion, whose place version 4 took since."""
    registry.pull("credit@champion", tmp_path / "kept")
    stand_in.version = 4
    registry.pull("credit@champion", tmp_path / "model")
    return tmp_path / "kept"


def test_a_folder_that_was_put_back_is_noticed_offline(kept: Path, key_file: Path) -> None:
    for more in ({}, {"key": key_file}, {"ref": "credit@champion"}, {"ref": "credit@production"}):
        with pytest.raises(NotProven) as refusal:
            countersign.verify(kept, **more)
        assert refusal.value.reason == "rollback"

    assert countersign.verify(kept, at=datetime.now(UTC)).release.version == 3
    assert countersign.verify(kept, ref="credit/3", at=datetime.now(UTC)).release.version == 3


def test_a_folder_that_was_put_back_does_not_pass_as_one_that_was_pulled_by_number(kept: Path) -> None:
    path = kept / ".countersign" / "pull.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alias": None}))

    with pytest.raises(NotProven) as refusal:
        countersign.verify(kept, ref="credit@production")
    assert refusal.value.reason == "rollback"
    assert main(["verify", str(kept), "credit@production"]) == 1
    assert countersign.verify(kept, ref="credit/3").release.version == 3


@pytest.mark.parametrize("ref", ["credit@challenger", "credit/4", "fraud/3", "fraud"])
def test_a_folder_is_what_it_has_to_be(registry: Registry, tmp_path: Path, ref: str) -> None:
    registry.pull("credit@champion", tmp_path / "model")

    with pytest.raises(NotProven) as refusal:
        countersign.verify(tmp_path / "model", ref=ref)

    assert refusal.value.reason == "other-release"


def test_a_refresh_keeps_as_which_alias_a_folder_was_pulled_and_is_held_to_it(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    registry.pull("credit@champion", tmp_path / "kept")
    assert registry.refresh(tmp_path / "kept").alias == "champion"
    assert countersign.verify(tmp_path / "kept").alias == "champion"
    document = stand_in.document()
    stand_in.version = 4
    registry.pull("credit@champion", tmp_path / "model")
    lie(stand_in, document, alias=None)

    with pytest.raises(NotProven) as refusal:
        registry.refresh(tmp_path / "kept")

    assert refusal.value.reason == "rollback"


def test_what_another_address_of_the_same_registry_proved_counts_offline(
    open_registry: OpenRegistry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    open_registry().pull("credit@champion", tmp_path / "kept")
    stand_in.version = 4
    elsewhere = Registry(stand_in.url.replace("127.0.0.1", "localhost"), token=TOKEN, key=key_file)
    elsewhere.pull("credit@champion", tmp_path / "model")
    elsewhere.close()

    with pytest.raises(NotProven) as refusal:
        countersign.verify(tmp_path / "kept")

    assert refusal.value.reason == "rollback"


def test_a_memory_of_before_promotions_were_kept_is_read_and_a_damaged_one_told(
    registry: Registry, stand_in: StandIn, home: Path, tmp_path: Path
) -> None:
    registry.pull("credit@champion", tmp_path / "model")
    (path,) = (home / "XDG_STATE_HOME" / "countersign").glob("*/registry.json")
    told = json.loads(path.read_text())
    (last,) = told.pop("promotions")
    path.write_text(json.dumps(told))

    assert Memory(stand_in.url).read().promotions == ()
    path.write_text(json.dumps(told | {"promotions": [last | {"entry": "x"}]}))
    with pytest.raises(Misused, match="was damaged"):
        registry.pull("credit@champion", tmp_path / "model")
