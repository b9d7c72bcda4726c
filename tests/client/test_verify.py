"""A pulled folder: every change to a file, to a statement or to what the document says is refused with a sentence that names it."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import countersign
from countersign import Misused, NotProven, Registry
from tests.client.standin import FILES, StandIn

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(registry: Registry, tmp_path: Path) -> Path:
    """The model, pulled."""
    registry.pull("credit@production", tmp_path / "model")
    return tmp_path / "model"


def refusal(folder: Path, key_file: Path, **more: Any) -> NotProven:
    with pytest.raises(NotProven) as refused:
        countersign.verify(folder, key=key_file, **more)
    return refused.value


def document_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ".countersign" / "pull.json").read_text())
    return found


def rewrite(folder: Path, document: Any) -> None:
    (folder / ".countersign" / "pull.json").write_text(json.dumps(document))


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_changed_file_is_named(folder: Path, key_file: Path, path: str) -> None:
    content = bytearray((folder / path).read_bytes())
    content[0] ^= 1
    (folder / path).write_bytes(content)

    assert str(refusal(folder, key_file)).startswith(f"{path} was changed")


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_missing_file_is_named(folder: Path, key_file: Path, path: str) -> None:
    (folder / path).unlink()

    assert str(refusal(folder, key_file)).startswith(f"{path} is missing")


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_link_in_place_of_a_file_is_named(folder: Path, key_file: Path, tmp_path: Path, path: str) -> None:
    (folder / path).rename(tmp_path / "outside")
    (folder / path).symlink_to(tmp_path / "outside")

    assert str(refusal(folder, key_file)).startswith(f"{path} is a link")


def test_a_linked_folder_is_refused(folder: Path, key_file: Path, tmp_path: Path) -> None:
    (folder / "data").rename(tmp_path / "outside")
    (folder / "data").symlink_to(tmp_path / "outside")

    assert "is a link" in str(refusal(folder, key_file))


@pytest.mark.parametrize("path", ["code/evil.py", "sitecustomize.py", "data/.countersign"])
def test_an_added_file_is_named(folder: Path, key_file: Path, path: str) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("import os")

    assert str(refusal(folder, key_file)).startswith(f"{path} is in the folder, and nobody signed it")


def envelopes(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each signed statement inside."""
    if isinstance(value, dict):
        if "payload" in value and "signatures" in value:
            yield way
        for name, part in value.items():
            yield from envelopes(part, (*way, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from envelopes(part, (*way, number))


def at(value: Any, way: tuple[Any, ...]) -> Any:
    for step in way:
        value = value[step]
    return value


def with_payload(envelope: dict[str, Any], change: Change) -> None:
    said = json.loads(base64.b64decode(envelope["payload"]))
    change(said["predicate"])
    envelope["payload"] = base64.b64encode(json.dumps(said).encode()).decode()


def test_every_statement_is_covered_by_its_signature(folder: Path, key_file: Path) -> None:
    good = document_of(folder)
    ways = list(envelopes(good))
    assert len(ways) == 5  # release, two sign-offs, provenance, status

    for way in ways:
        document = copy.deepcopy(good)
        with_payload(at(document, way), lambda said: said.update(forged=True))
        rewrite(folder, document)
        assert refusal(folder, key_file).reason in {"signature", "sign-offs"}, way

        document = copy.deepcopy(good)
        at(document, way)["signatures"] = []
        rewrite(folder, document)
        assert refusal(folder, key_file).reason == "signature", way


def test_every_statement_is_needed(folder: Path, key_file: Path) -> None:
    good = document_of(folder)

    for way in envelopes(good):
        document = copy.deepcopy(good)
        del at(document, way[:-1])[way[-1]]
        rewrite(folder, document)
        assert refusal(folder, key_file).reason in {"malformed", "sign-offs"}, way


_TOLD: dict[str, Change] = {
    "model": lambda one: one.update(model="fraud"),
    "version": lambda one: one.update(version=4),
    "stage": lambda one: one.update(stage="staging"),
    "digest": lambda one: one.update(digest="0" * 64),
    "files": lambda one: one["files"].pop(),
    "a file's digest": lambda one: one["files"][0].update(sha256="0" * 64),
    "a file's path": lambda one: one["files"][0].update(path="other"),
    "the manifest": lambda one: one["attestation"]["manifest"].pop(),
    "the policy": lambda one: one["attestation"]["policies"][0]["content"].update(slots=[]),
    "the subject": lambda one: one["attestation"].update(subject="{}"),
    "the checkpoint": lambda one: one["ledger"].update(
        checkpoint=one["ledger"]["checkpoint"].replace("\n6\n", "\n7\n")
    ),
    "the entry": lambda one: one["ledger"]["promotion"].update(payload=base64.b64encode(b"{}").decode()),
    "the receipt": lambda one: one["ledger"]["promotion"].update(
        receipt=one["ledger"]["promotion"]["receipt"].replace("index 5", "index 4")
    ),
    "no ledger": lambda one: one.pop("ledger"),
    "no attestation": lambda one: one.pop("attestation"),
    "another kind": lambda one: one.update(type="https://example.org/else"),
}


@pytest.mark.parametrize("what", sorted(_TOLD))
def test_what_the_document_says_is_what_was_signed(folder: Path, key_file: Path, what: str) -> None:
    document = document_of(folder)
    _TOLD[what](document)
    rewrite(folder, document)

    assert refusal(folder, key_file).reason in {"document", "manifest", "policy", "subject", "ledger", "malformed"}


def test_a_receipt_of_another_entry_does_not_count(folder: Path, key_file: Path, stand_in: StandIn) -> None:
    document = document_of(folder)
    receipt = stand_in.ledger.receipt(
        stand_in.ledger.append({"action": "alias.set", "outcome": "ok", "d": {"after": {"release": "0"}}})
    )
    document["ledger"] = {
        "checkpoint": receipt.checkpoint,
        "promotion": {"payload": base64.b64encode(receipt.payload).decode(), "receipt": receipt.encode().decode()},
    }
    rewrite(folder, document)

    assert "is not the promotion by this release" in str(refusal(folder, key_file))


def test_a_folder_for_which_the_ledger_shows_two_states_is_refused(
    folder: Path, key_file: Path, stand_in: StandIn
) -> None:
    document = document_of(folder)
    stand_in.ledger.entries[0] = b"another beginning"
    document["ledger"]["checkpoint"] = stand_in.ledger.checkpoint(len(stand_in.ledger.entries))
    rewrite(folder, document)

    assert "two different states" in str(refusal(folder, key_file))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"a":' * 100_000])
def test_a_damaged_document_is_told(folder: Path, key_file: Path, content: bytes) -> None:
    (folder / ".countersign" / "pull.json").write_bytes(content)

    assert "pull" in str(refusal(folder, key_file))


def test_a_folder_that_nobody_pulled_says_so(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "plain").mkdir()

    with pytest.raises(Misused, match="was not pulled by Countersign"):
        countersign.verify(tmp_path / "plain", key=key_file)


def test_an_expired_status_is_a_freeze_unless_judged_by_its_own_moment(folder: Path, key_file: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)

    assert refusal(folder, key_file, at=later).reason == "freeze"
    assert countersign.verify(folder, key=key_file, at=datetime.now(UTC)).release.version == 3


def test_a_stranger_needs_the_key_and_nothing_else(
    folder: Path, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "stranger"))

    assert countersign.verify(folder, key=key_file).release.model == "credit"
    with pytest.raises(Misused, match=r"--key registry\.pub"):
        countersign.verify(folder)


def test_the_registry_s_key_alone_proves_the_people_and_says_nothing_of_the_ledger(
    folder: Path, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "stranger"))
    key_file.write_text(key_file.read_text().partition("-----END PUBLIC KEY-----\n")[0] + "-----END PUBLIC KEY-----\n")

    found = countersign.verify(folder, key=key_file)

    assert (found.entry, found.ledger_size) == (None, None)


def test_another_registry_s_key_does_not_verify(folder: Path, tmp_path: Path) -> None:
    other = StandIn()
    key = tmp_path / "other.pub"
    key.write_text(other.key_file)
    other.close()

    assert refusal(folder, key).reason == "signature"


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every text, number, truth and nothing inside."""
    if isinstance(value, dict | list) and value:
        for step, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*way, step))
    else:
        yield way


def another(value: Any) -> Any:
    """Something else of the same kind, and as likely as what is there."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value:
        middle = len(value) // 2
        return value[:middle] + ("b" if value[middle] == "a" else "a") + value[middle + 1 :]
    return "other"


def changed(document: Any, way: tuple[Any, ...]) -> Any:
    found = copy.deepcopy(document)
    at(found, way[:-1])[way[-1]] = another(at(found, way))
    return found


_NOT_PART_OF_THE_PROOF = {
    *("size", "approved_until", "download", "files.url", "ledger.log_key", "ledger.pending"),
    *("attestation.policies.name", "attestation.policies.number"),
}
"""Addresses, hints, and what is said again in what was signed, from where it is taken."""


def test_every_single_value_of_the_document_counts(folder: Path, key_file: Path) -> None:
    good = document_of(folder)
    free = set()

    for way in leaves(good):
        rewrite(folder, changed(good, way))
        try:
            countersign.verify(folder, key=key_file, ref="credit@production")
        except NotProven:
            continue
        free.add(".".join(step for step in way if isinstance(step, str)))

    assert free == _NOT_PART_OF_THE_PROOF


def test_every_field_of_every_statement_is_signed(folder: Path, key_file: Path) -> None:
    good, seen = document_of(folder), 0

    for way in envelopes(good):
        said = json.loads(base64.b64decode(at(good, way)["payload"]))
        for field in leaves(said):
            document = copy.deepcopy(good)
            at(document, way)["payload"] = base64.b64encode(json.dumps(changed(said, field)).encode()).decode()
            rewrite(folder, document)
            assert refusal(folder, key_file).reason in {"signature", "sign-offs", "malformed"}, (way, field)
            seen += 1

    assert seen > 70


def test_every_field_of_the_promotion_s_entry_is_in_the_ledger(folder: Path, key_file: Path) -> None:
    good = document_of(folder)
    said = json.loads(base64.b64decode(good["ledger"]["promotion"]["payload"]))

    for field in leaves(said):
        document = copy.deepcopy(good)
        other = json.dumps(changed(said, field)).encode()
        document["ledger"]["promotion"]["payload"] = base64.b64encode(other).decode()
        rewrite(folder, document)
        assert refusal(folder, key_file).reason == "ledger", field


def test_every_byte_of_every_file_counts(folder: Path, key_file: Path) -> None:
    for path, content in FILES.items():
        for place in {0, len(content) // 2, len(content) - 1}:
            (folder / path).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert str(refusal(folder, key_file)).startswith(f"{path} was changed")
        for other in (content[:-1], content + b"\n", b""):
            (folder / path).write_bytes(other)
            assert str(refusal(folder, key_file)).startswith(f"{path} was changed")
        (folder / path).write_bytes(content)

    assert countersign.verify(folder, key=key_file).release.version == 3
