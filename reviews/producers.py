"""Decides whose evidence counts: a policy lists producers, and what anybody else attached is shown but judged by no gate. Pure.

A list holds words: `worker:training` and `worker:admission` (what this installation's own workers measured), `group:<name>` (attached
by hand by a member), `service:<account>` and `person:<username>` (attached by hand by exactly these). An empty list means everybody
who may attach evidence. The version's own author never counts as a member of a group: who made it counts only when named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

JOBS: Final = {"training": ("training.train", "training.compare"), "admission": ("registry.admit",)}
"""The kinds of jobs behind each worker's word."""

ADMISSION_ONLY: Final = frozenset({"scan", "signature"})
"""What nobody but admission can write (`registry.evidence.OWN_EVIDENCE`), whichever process it ran in."""

WORDS: Final = "worker:training, worker:admission, group:<name>, service:<account name> and person:<username>"


@dataclass(frozen=True)
class Producer:
    """Who produced one piece of evidence. `kind` is its name for people, `key` the one in the registry; `job_kind` is empty where it
    was attached by hand; `is_author`: they, or the owner of the service account, had a hand in the version.
    """

    kind: str
    key: str
    job_kind: str
    username: str
    name: str
    is_service: bool = False
    is_author: bool = False
    groups: frozenset[str] = frozenset()


def counts(producer: Producer, words: Sequence[str]) -> bool:
    """Whether evidence of this producer is evidence for a policy that lists `words`."""
    return not words or any(_matches(producer, word) for word in words)


def counts_for_all(producer: Producer, lists: Iterable[Sequence[str]]) -> bool:
    """Whether it counts for every policy that applies: lists only narrow."""
    return all(counts(producer, words) for words in lists)


def why_not(producer: Producer) -> str:
    """The sentence for evidence that does not count."""
    what = producer.kind
    if producer.job_kind:
        return f"{what} came from a job ({producer.job_kind}) that the policy does not list, so that it does not count."
    author = ", who had a hand in this version and" if producer.is_author else ", whom"
    rest = "is not named in the policy" if producer.is_author else "the policy does not list"
    return f"{what} was attached by {producer.name}{author} {rest}, so that it does not count."


def flaw_in(word: str) -> str:
    """What is wrong with a word of the list, or nothing."""
    sort, _, name = word.partition(":")
    if sort == "worker":
        return "" if name in JOBS else f"There is no worker {name!r}; the workers are {', '.join(JOBS)}."
    if sort in {"group", "service", "person"}:
        return "" if name.strip() else f"Name somebody after {sort}:."
    return f"{word!r} names no producer; use {WORDS}."


def in_words(word: str) -> str:
    """What a word of the list means: `the training worker`, `members of Model validation`."""
    sort, _, name = word.partition(":")
    means = {"worker": "the {} worker", "group": "members of {}", "service": "the service account {}", "person": "{}"}
    return means.get(sort, "{}").format(name.strip() or word)


def _matches(producer: Producer, word: str) -> bool:
    sort, _, name = word.partition(":")
    if sort == "worker":
        return producer.job_kind in JOBS.get(name, ()) or (name == "admission" and producer.key in ADMISSION_ONLY)
    if producer.job_kind:
        return False
    if sort == "group":
        return name in producer.groups and not producer.is_author
    return sort == ("service" if producer.is_service else "person") and producer.username == name
