"""A git repository as a sink: one commit for each checkpoint, pushed where a remote is named.

Commits chain by hash, so that whoever cloned the repository before notices a rewritten history. Without a remote it is only
as far outside as its disk is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

from audit.anchors.protocol import Options, SinkDamaged, SinkFailed, required, seconds
from audit.journal import Line
from countersign.proof.note import NoteRefused, TreeHead

FILE: Final = "checkpoint"
TIMEOUT_SECONDS: Final = 60.0
_CONFIG: Final = {
    "user.name": "Ledger sequencer",
    "user.email": "ledger@localhost",
    "commit.gpgSign": "false",
    "core.hooksPath": os.devnull,  # what lies in the repository runs nothing
}
_INHERITED: Final = ("PATH", "HOME", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GIT_SSH_COMMAND")


@dataclass(frozen=True, slots=True)
class GitSink:
    """Commits the newest checkpoint as the file `checkpoint` in a repository of its own."""

    name: str
    repository: Path
    remote: str
    every_seconds: float

    @classmethod
    def of(cls, name: str, options: Options) -> GitSink:
        """From `repository` (a folder with a work tree) and, if it is to be pushed, `remote`."""
        (repository,) = required(options, "repository")
        return cls(name, Path(repository), options.get("remote", ""), seconds(options, 60))

    def publish(self, line: Line) -> str:
        """Commit and push; the commit's hash."""
        path = self.repository / FILE
        if not (self.repository / ".git").exists():
            raise SinkFailed(f"{self.repository.name} is no git repository with a work tree: run `git init` there")
        if not path.exists() or path.read_text() != line.note or self._git("status", "--porcelain", "--", FILE):
            path.write_text(line.note)
            self._git("add", "--", FILE)
            self._git("commit", "--quiet", "--message", f"Checkpoint over {line.size} entries", "--", FILE)
        if self.remote:
            self._git("push", "--quiet", self.remote, f"HEAD:refs/heads/{self._branch()}")
        return self._git("rev-parse", "HEAD").strip()

    def held(self) -> list[Line]:
        """Every checkpoint that was ever committed; from the remote's branch where there is a remote."""
        there = (
            ("ls-remote", self.remote, f"refs/heads/{self._branch()}") if self.remote else ("rev-list", "-1", "--all")
        )
        if not self._git(*there):
            return []
        ref = "HEAD"
        if self.remote:
            self._git("fetch", "--quiet", self.remote, self._branch())
            ref = "FETCH_HEAD"
        commits = self._git("log", "--format=%H %ct", ref, "--", FILE).splitlines()
        return [self._line(*commit.split()) for commit in reversed(commits)]

    def _line(self, commit: str, written: str) -> Line:
        note = self._git("show", f"{commit}:{FILE}")
        try:
            return Line(int(written) * 1_000_000, TreeHead.parse(note.partition("\n\n")[0] + "\n").size, note, commit)
        except NoteRefused as error:
            raise SinkDamaged(f"commit {commit[:12]} of {self.repository.name} holds no checkpoint: {error}") from error

    def _branch(self) -> str:
        return self._git("symbolic-ref", "--short", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        git = which("git")
        if git is None:
            raise SinkFailed("there is no git on this machine")
        command = [git, "-C", str(self.repository), *_config(), *arguments]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        try:
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                stdin=subprocess.DEVNULL,
                env=environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            )
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout).strip().splitlines()
            raise SinkFailed(f"git {arguments[0]}: {said[-1] if said else 'it failed'}") from error
        except (subprocess.TimeoutExpired, OSError) as error:
            raise SinkFailed(f"git {arguments[0]}: {error}") from error
        return done.stdout


def _config() -> Iterator[str]:
    for key, value in _CONFIG.items():
        yield from ("-c", f"{key}={value}")
