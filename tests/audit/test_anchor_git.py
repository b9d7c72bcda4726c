"""A git repository holds one commit for each checkpoint, and gives all of them back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest

from audit.anchors.configured import state_journal
from audit.anchors.git import FILE, GitSink
from audit.anchors.protocol import SinkDamaged, SinkFailed
from audit.sequencer import Sequencer

GIT = which("git") or "git"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done = subprocess.run([GIT, "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "anchors.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def test_every_checkpoint_is_a_commit_and_is_read_back(ledger: Sequencer, repository: Path) -> None:
    sink, lines = GitSink.of("git", {"repository": str(repository)}), state_journal().lines()

    receipts = [sink.publish(line) for line in lines]

    assert receipts[-1] == git(repository, "rev-parse", "HEAD")
    assert len(set(receipts)) == 4
    assert [(line.size, line.note) for line in sink.held()] == [(line.size, line.note) for line in lines]


def test_the_same_checkpoint_twice_is_one_commit(ledger: Sequencer, repository: Path) -> None:
    sink, line = GitSink.of("git", {"repository": str(repository)}), state_journal().lines()[-1]

    assert sink.publish(line) == sink.publish(line)


def test_it_is_pushed_and_read_back_from_the_remote(ledger: Sequencer, repository: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    sink, lines = GitSink.of("git", {"repository": str(repository), "remote": "origin"}), state_journal().lines()
    before = sink.held()
    for line in lines[:3]:
        sink.publish(line)

    git(repository, "commit", "--quiet", "--allow-empty", "-m", "not pushed")

    assert before == []
    assert git(remote, "log", "-1", "--format=%s") == "Checkpoint over 400 entries"
    assert [line.size for line in sink.held()] == [0, 100, 400]


def test_a_remote_with_another_history_refuses_the_push(ledger: Sequencer, repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet", "--initial-branch=main")
    git(other, "commit", "--quiet", "--allow-empty", "-m", "another history")
    git(other, "switch", "--quiet", "-c", "aside")
    git(repository, "remote", "add", "origin", str(other))
    sink = GitSink.of("git", {"repository": str(repository), "remote": "origin"})

    with pytest.raises(SinkFailed, match="git push"):
        sink.publish(state_journal().lines()[-1])


def test_a_hook_in_the_repository_is_not_run(ledger: Sequencer, repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    assert GitSink.of("git", {"repository": str(repository)}).publish(state_journal().lines()[-1])


def test_a_folder_that_is_no_repository_is_said(ledger: Sequencer, tmp_path: Path) -> None:
    sink = GitSink.of("git", {"repository": str(tmp_path)})

    with pytest.raises(SinkFailed, match="run `git init` there"):
        sink.publish(state_journal().lines()[-1])


def test_a_commit_that_is_no_checkpoint_is_damage(ledger: Sequencer, repository: Path) -> None:
    sink = GitSink.of("git", {"repository": str(repository)})
    sink.publish(state_journal().lines()[-1])
    (repository / FILE).write_text("not a checkpoint\n")
    git(repository, "commit", "--quiet", "-am", "by hand")

    with pytest.raises(SinkDamaged, match="holds no checkpoint"):
        sink.held()
