"""Pulling: whole and verified or not at all, from where it stopped, and never an older state than was seen before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import countersign
from countersign import LocalTrouble, Misused, NotProven, NotReached, Refused, Registry
from countersign.cache import Cache
from tests.client.conftest import OpenRegistry
from tests.client.standin import FILES, TOKEN, Ledger, StandIn
from tests.serving.attesting import manifest_of


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".countersign" not in path.parts
    }


def big() -> dict[str, bytes]:
    return {"MLmodel": b"flavors: {}\n", "model.skops": os.urandom(2_000_000)}


def test_what_was_signed_arrives_with_its_proof(registry: Registry, tmp_path: Path) -> None:
    found = registry.pull("credit@production", tmp_path / "model", purpose="tests")

    assert content(tmp_path / "model") == FILES
    assert (found.release.model, found.release.version, found.alias) == ("credit", 3, "champion")
    assert {one.reviewer for one in found.release.sign_offs} == {"bob", "carol"}
    assert found.entry is not None
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "model", "registry.pub"]


def test_the_purpose_goes_with_every_file(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model", purpose="nightly scoring")

    assert [one.get("X-Purpose") for one in stand_in.requests("/blobs/")] == ["nightly scoring"] * 3
    assert {one.get("X-Countersign-Purpose") for one in stand_in.requests("/models/")} == {"nightly scoring"}


def test_nothing_is_fetched_twice(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "one")
    registry.pull("credit@production", tmp_path / "two")
    registry.pull("credit@production", tmp_path / "two")

    assert len(stand_in.requests("/blobs/")) == len(FILES)
    assert content(tmp_path / "two") == FILES


def test_a_newer_version_takes_the_place_of_the_older_one(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.files, stand_in.version = {"MLmodel": b"flavors: {x: 1}\n"}, 4

    found = registry.pull("credit@production", tmp_path / "model")

    assert found.release.version == 4
    assert content(tmp_path / "model") == stand_in.files
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "model", "registry.pub"]


def test_without_a_pinned_key_nothing_is_asked_for(
    open_registry: OpenRegistry, stand_in: StandIn, tmp_path: Path
) -> None:
    with pytest.raises(Misused, match="--trust-on-first-use"):
        open_registry(key="").pull("credit@production", tmp_path / "model")

    assert stand_in.requests("/aliases/") == []


def test_the_key_is_trusted_on_first_use_only_when_told_so(
    open_registry: OpenRegistry, stand_in: StandIn, tmp_path: Path
) -> None:
    open_registry(key="", trust_on_first_use=True).pull("credit@production", tmp_path / "one")
    found = open_registry(key="").pull("credit@production", tmp_path / "two")

    assert found.entry is not None


def test_another_key_than_the_pinned_one_is_never_taken_by_itself(
    registry: Registry, open_registry: OpenRegistry, stand_in: StandIn, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.registry = type(stand_in.registry)(now=datetime.now(UTC))
    other = tmp_path / "other.pub"
    other.write_text(stand_in.key_file)

    with pytest.raises(NotProven) as given:
        open_registry(key=other).pull("credit@production", tmp_path / "model")
    with pytest.raises(NotProven) as shown:
        open_registry(key="", trust_on_first_use=True).pull("credit@production", tmp_path / "model")

    assert given.value.reason == "other-key"
    assert shown.value.reason == "signature"
    assert content(tmp_path / "model") == FILES


def test_other_bytes_than_the_signed_ones_are_refused_by_name(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.blob = lambda found: found.replace(b"model", b"virus")

    with pytest.raises(NotProven, match=r"^model\.skops: what the registry delivered is not what was signed"):
        registry.pull("credit@production", tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_more_bytes_than_were_signed_are_refused(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.blob = lambda found: found + b"x"

    with pytest.raises(NotProven, match="more bytes than were signed"):
        registry.pull("credit@production", tmp_path / "model")


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.files = big()
    stand_in.break_after = 1_000_000

    registry.pull("credit@production", tmp_path / "model", workers=1)

    asked = [one["Range"] for one in stand_in.requests("/blobs/") if "Range" in one]
    assert len(asked) == 1
    assert int(asked[0].removeprefix("bytes=").rstrip("-")) > 500_000
    assert content(tmp_path / "model") == stand_in.files


def test_a_registry_without_ranges_is_asked_for_the_whole(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.files, stand_in.break_after, stand_in.ranges = big(), 1_000_000, False

    registry.pull("credit@production", tmp_path / "model", workers=1)

    assert content(tmp_path / "model") == stand_in.files


def test_a_damaged_partial_file_is_fetched_anew(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = big()
    file = manifest_of(stand_in.files)[1]
    partial = Cache().path(file.sha256).with_suffix(".partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"not what it was" * 1_000)

    registry.pull("credit@production", tmp_path / "model")

    assert content(tmp_path / "model") == stand_in.files


def test_a_damaged_cache_is_noticed_and_mended(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "one")
    blob = Cache().path(manifest_of(FILES)[2].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(FILES["model.skops"]))

    registry.pull("credit@production", tmp_path / "two")

    assert content(tmp_path / "two") == FILES
    assert len(stand_in.requests("/blobs/")) == len(FILES) + 1


def test_a_busy_registry_is_asked_again(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.failures = [503, 429]

    registry.pull("credit@production", tmp_path / "model")

    assert content(tmp_path / "model") == FILES


def test_a_registry_that_stays_away_is_told(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.close()

    with pytest.raises(NotReached, match="cannot be reached"):
        registry.pull("credit@production", tmp_path / "model")


def test_an_address_elsewhere_never_gets_the_token(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    def elsewhere(document: dict[str, Any]) -> dict[str, Any]:
        document["files"][0]["url"] = "http://localhost:1/blobs/x"
        return document

    stand_in.change = elsewhere

    with pytest.raises(Refused, match="the token is not taken there"):
        registry.pull("credit@production", tmp_path / "model")


def test_a_folder_that_was_not_pulled_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("years of work")

    with pytest.raises(LocalTrouble, match="they would be lost"):
        registry.pull("credit@production", tmp_path / "model")

    assert (tmp_path / "model" / "thesis.tex").read_text() == "years of work"


def test_another_version_than_the_one_asked_for_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotProven) as refusal:
        registry.pull("credit/4", tmp_path / "model")

    assert refusal.value.reason == "other-release"


def test_the_answer_for_another_alias_is_refused(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.change = lambda document: document | {"alias": "challenger"}

    with pytest.raises(NotProven, match="challenger") as refusal:
        registry.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "other-release"


def test_a_lower_counter_is_a_rollback(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.registry.counter = 9
    registry.pull("credit@production", tmp_path / "model")
    stand_in.registry.counter = 8

    with pytest.raises(NotProven, match="number 9 was seen before") as refusal:
        registry.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "rollback"


def test_a_smaller_ledger_is_a_rollback(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.ledger.entries = stand_in.ledger.entries[:2]

    with pytest.raises(NotProven, match="cut short") as refusal:
        registry.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "rollback"


def test_a_rewritten_ledger_is_a_rollback(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.ledger.entries[0] = b"another beginning"

    with pytest.raises(NotProven, match="is not the one that was seen before") as refusal:
        registry.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "rollback"


def test_the_ledger_that_took_the_place_of_a_longer_one_is_held_to_what_it_showed(
    open_registry: OpenRegistry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    stand_in.ledger.entries *= 4
    open_registry().pull("credit@production", tmp_path / "model")
    given_up = stand_in.ledger.signer.verifier
    stand_in.ledger = Ledger("ledger-2.example.org")
    key_file.write_text(
        stand_in.key_file.replace(
            str(stand_in.ledger.signer.verifier), f"{given_up}\n{stand_in.ledger.signer.verifier}"
        )
    )
    registry = open_registry()
    registry.pull("credit@production", tmp_path / "model")
    stand_in.ledger.entries = stand_in.ledger.entries[:2]

    with pytest.raises(NotProven, match="cut short") as refusal:
        registry.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "rollback"


def test_an_expired_status_is_a_freeze(open_registry: OpenRegistry, tmp_path: Path) -> None:
    late = open_registry(now=lambda: datetime.now(UTC) + timedelta(hours=2))

    with pytest.raises(NotProven, match="stopped in time") as refusal:
        late.pull("credit@production", tmp_path / "model")

    assert refusal.value.reason == "freeze"


def test_a_revoked_version_is_refused(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    document = stand_in.document()
    stand_in.registry.revoke("credit", 3, document["digest"])

    with pytest.raises(NotProven, match="was revoked"):
        registry.pull("credit@production", tmp_path / "model")


def test_a_promotion_that_is_not_signed_yet_counts_unless_told_otherwise(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    def pending(document: dict[str, Any]) -> dict[str, Any]:
        document["ledger"] |= {"promotion": None, "pending": True}
        return document

    stand_in.change = pending

    assert registry.pull("credit@production", tmp_path / "model").entry is None
    with pytest.raises(NotProven, match="not signed yet"):
        registry.pull("credit@production", tmp_path / "other", require_ledger=True)


def test_two_pulls_at_once_into_one_folder_both_arrive_whole(
    open_registry: OpenRegistry, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.files, stand_in.delay = big(), 0.001
    registries = [open_registry() for _ in range(4)]
    failed: list[BaseException] = []

    def pull(registry: Registry) -> None:
        try:
            registry.pull("credit@production", tmp_path / "model")
        except BaseException as error:  # noqa: BLE001 - the test tells
            failed.append(error)

    threads = [threading.Thread(target=pull, args=[one]) for one in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert content(tmp_path / "model") == stand_in.files
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "model", "registry.pub"]
    assert len(stand_in.requests("/blobs/")) == 2


def test_a_killed_pull_leaves_the_old_model_and_goes_on_where_it_stopped(
    registry: Registry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model")
    before = content(tmp_path / "model")
    stand_in.files, stand_in.version, stand_in.delay = big(), 4, 0.02
    process = subprocess.Popen(
        [sys.executable, "-m", "countersign", "pull", "credit@production", str(tmp_path / "model")],
        env=os.environ
        | {"COUNTERSIGN_URL": stand_in.url, "COUNTERSIGN_TOKEN": TOKEN, "COUNTERSIGN_KEY": str(key_file)},
    )
    partial = Cache().path(manifest_of(stand_in.files)[1].sha256).with_suffix(".partial")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size > 300_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = partial.stat().st_size
    assert content(tmp_path / "model") == before
    stand_in.delay = 0.0

    registry.pull("credit@production", tmp_path / "model")

    asked = [one["Range"] for one in stand_in.requests("/blobs/") if "Range" in one]
    assert asked == [f"bytes={kept}-"]
    assert content(tmp_path / "model") == stand_in.files
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "model", "registry.pub"]


def test_what_was_pulled_is_verified_without_the_registry(
    registry: Registry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.close()

    assert countersign.verify(tmp_path / "model", key=key_file).release.version == 3
    assert countersign.verify(tmp_path / "model").entry is not None


def test_a_kept_folder_stands_under_the_newest_status_that_was_seen(
    registry: Registry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "old")
    kept = json.loads((tmp_path / "old" / ".countersign" / "pull.json").read_text())
    stand_in.registry.revoke("credit", 3, kept["digest"])
    stand_in.version = 4
    registry.pull("credit@production", tmp_path / "new")

    with pytest.raises(NotProven, match="version 3 was revoked"):
        countersign.verify(tmp_path / "old", key=key_file)
    assert countersign.verify(tmp_path / "old", key=key_file, at=datetime.now(UTC)).release.version == 3


def test_a_refreshed_folder_has_the_newest_proof(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.registry.counter = 20

    found = registry.refresh(tmp_path / "model")

    assert found.release.status.counter == 20
    assert countersign.verify(tmp_path / "model").release.status.counter == 20


@pytest.mark.parametrize("full", ["cache", "target"])
def test_no_space_is_told_with_what_to_do(
    stand_in: StandIn, key_file: Path, home: Path, tmp_path: Path, full: str
) -> None:
    """On a real file system that is full: a small one is mounted in a name space of its own."""
    unshare = [shutil.which("unshare") or "", "-rm", "sh", "-c"]
    stand_in.files = big()
    places = {"cache": home / "XDG_CACHE_HOME", "target": tmp_path / "target"}
    places[full].mkdir(parents=True)
    mounted = f'mount -t tmpfs -o size=400k none "{places[full]}" && '
    if not unshare[0] or subprocess.run([*unshare, f"{mounted}true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    command = (
        f'"{sys.executable}" -m countersign pull credit@production "{places["target"]}/model"; echo "code $?"; ls -A'
    )

    ended = subprocess.run(
        [*unshare, f"{mounted}{command} {places['target']}"],
        env=os.environ
        | {"COUNTERSIGN_URL": stand_in.url, "COUNTERSIGN_TOKEN": TOKEN, "COUNTERSIGN_KEY": str(key_file)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "no space left" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout.split("code ")[1].split() == ["5"]


def test_a_server_that_lags_for_a_moment_is_asked_once_more(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    old = stand_in.document()
    registry.pull("credit@production", tmp_path / "model")
    answers = [old]
    stand_in.change = lambda document: answers.pop() if answers else document

    registry.pull("credit@production", tmp_path / "model")

    assert answers == []
