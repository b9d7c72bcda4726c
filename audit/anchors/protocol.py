"""Decides what a sink is: a place outside the database that takes checkpoints and can be asked which it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

from django.conf import settings

from audit.journal import Journal, JournalDamaged, Line

Options = Mapping[str, str]
TIMEOUT_SECONDS: Final = 10.0
MAX_NAME: Final = 40
_T = TypeVar("_T")


class SinkFailed(RuntimeError):
    """A checkpoint could not be put there, or what is there could not be read; it may work later."""


class SinkDamaged(RuntimeError):
    """What is held there is not what was put there."""


class SinkMisconfigured(ValueError):
    """The options of a sink are incomplete; the sentence says which are missing."""


class Sink(Protocol):
    """A place outside the database. `name` is unique in an installation; it takes a new checkpoint every so many seconds at most."""

    @property
    def name(self) -> str:
        """What it is called in settings, status and anchor rows; at most 40 characters."""

    @property
    def every_seconds(self) -> float:
        """The shortest time between two checkpoints that are put there."""

    def publish(self, line: Line) -> str:
        """Put a checkpoint there and return what shows it, as text; raises `SinkFailed`. Putting the same one again is harmless."""

    def held(self) -> list[Line]:
        """The checkpoints that are there; raises `SinkFailed` where they cannot be read, `SinkDamaged` where they were changed."""


def build(options: Options, word: str, kinds: Mapping[str, Callable[[str, Options], _T]]) -> _T:
    """What one entry of the settings asks for: `word` ("sink", "stream") names its kind, which is its name too where none is given."""
    kind = options.get(word, "")
    name = options.get("name") or kind
    if kind not in kinds:
        raise SinkMisconfigured(f"there is no {word} {kind!r}; there are {', '.join(kinds)}")
    if not name.replace("-", "").isalnum() or len(name) > MAX_NAME:
        raise SinkMisconfigured(f"a {word}'s name has letters, digits and hyphens, at most {MAX_NAME}, not {name!r}")
    return kinds[kind](name, options)


def build_all(
    entries: Sequence[Options], setting: str, word: str, kinds: Mapping[str, Callable[[str, Options], _T]]
) -> list[_T]:
    """What a list of the settings asks for, in order; raises `SinkMisconfigured`, which says where in which setting it is wrong."""
    built = list[_T]()
    for place, options in enumerate(entries, 1):
        try:
            built.append(build(options, word, kinds))
        except SinkMisconfigured as error:
            raise SinkMisconfigured(f"{word} {place} of {len(entries)} in {setting}: {error}") from error
    return built


def tell_apart(names: Iterable[str], word: str) -> None:
    """Raise `SinkMisconfigured` where two have one name."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise SinkMisconfigured(f"two {word}s are called {twice[0]}: give each a name of its own")


def required(options: Options, *names: str) -> list[str]:
    """The values of these options; raises `SinkMisconfigured` naming those that are missing."""
    missing = [name for name in names if not options.get(name)]
    if missing:
        raise SinkMisconfigured(f"it lacks {', '.join(missing)}")
    return [options[name] for name in names]


def seconds(options: Options, default: float) -> float:
    """The option `every_seconds`; raises `SinkMisconfigured` where it is no number above zero."""
    text = options.get("every_seconds", str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise SinkMisconfigured(f"every_seconds of a sink is a number above zero, not {text!r}")
    return value


def lines_of(journal: Journal) -> list[Line]:
    """Every line of a file of checkpoints; raises `SinkDamaged`."""
    try:
        return journal.lines()
    except JournalDamaged as error:
        raise SinkDamaged(str(error)) from error


def beside(name: str) -> Journal:
    """The file for what an outside party gave us (time stamps, cosignatures), in the anchor folder."""
    return Journal(Path(settings.AUDIT_ANCHOR_DIR) / name)
