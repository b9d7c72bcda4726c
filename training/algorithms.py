"""Which algorithms can be trained, with which settings, and what to know about each. Pure, and free of scikit-learn.

Settings are checked against this table before anything is queued, whether they come from the form or over the API; nothing
else reaches an estimator. The form draws its fields from the same table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_SEED: Final = 2**31 - 1
NOT_SERVED: Final = (
    "It can be trained, reviewed, registered and pulled, but not served: the scoring worker loads only types on its own "
    "trusted list, and a fitted tree can be edited so that loading it crashes or loops."
)


class Algorithm(StrEnum):
    """What can be trained."""

    LOGISTIC_REGRESSION = "logistic_regression"
    RANDOM_FOREST = "random_forest"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"


@dataclass(frozen=True)
class Setting:
    """One hyper-parameter: what it does in words, its default and what is accepted (`choices`, or a range with both ends included)."""

    name: str
    default: float | int | str | None
    title: str
    help: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is accepted, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}{', or nothing' if self.optional else ''}"

    def accepts(self, value: Any) -> bool:
        """Whether `value` is allowed."""
        if self.choices:
            return isinstance(value, str) and value in self.choices
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return bool(self.low <= value <= self.high)

    def mistake(self, value: Any) -> str:
        """The sentence that says what is accepted where `value` is not; empty where it is."""
        if self.accepts(value):
            return ""
        written = repr(value) if self.whole else repr(value).removesuffix(".0")  # a 7 read as a fraction is still a 7
        return f"{self.name} must be {self.expected}; it is {'empty' if value is None else written}."

    def read(self, text: str) -> float | int | str | None:
        """The value that a person wrote; what is no number stays as it was written, for `mistake` to name."""
        text = text.strip()
        if self.choices:
            return text
        try:
            return (int(text) if self.whole else float(text)) if text else None
        except ValueError:
            return text

    def write(self, value: float | int | str | None) -> str:
        """A value as a person would write it; the opposite of `read`."""
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Offer:
    """One algorithm as a person sees it: title, settings, whether the scoring worker serves it, and what to know."""

    title: str
    settings: tuple[Setting, ...]
    served: bool
    remark: str


OFFERS: Final[Mapping[Algorithm, Offer]] = {
    Algorithm.LOGISTIC_REGRESSION: Offer(
        "Logistic regression",
        (
            Setting(
                "C",
                1.0,
                "Freedom of the coefficients",
                "The inverse of the regularisation: smaller keeps the coefficients closer to nothing.",
                low=0.0001,
                high=1000.0,
            ),
            Setting(
                "max_iter",
                200,
                "Steps at most",
                "How long the solver may look for the best coefficients; raise it when the log says that it stopped early.",
                low=10,
                high=5000,
                whole=True,
            ),
            Setting(
                "class_weight",
                "none",
                "Weight of the classes",
                "“balanced” makes the rarer outcome count as much as the common one; scores are then no probabilities.",
                choices=("none", "balanced"),
            ),
        ),
        served=True,
        remark="Every coefficient can be read, and it can be served.",
    ),
    Algorithm.RANDOM_FOREST: Offer(
        "Random forest",
        (
            Setting(
                "n_estimators",
                200,
                "Trees",
                "More trees make scores steadier, files larger and training slower.",
                low=10,
                high=1000,
                whole=True,
            ),
            Setting(
                "max_depth",
                None,
                "Depth at most",
                "How many questions a tree may ask in a row; empty lets it grow until its leaves are too small to split.",
                low=1,
                high=64,
                whole=True,
                optional=True,
            ),
            Setting(
                "min_samples_leaf",
                20,
                "Rows in a leaf at least",
                "More rows make a tree coarser and less able to learn single people by heart.",
                low=1,
                high=100_000,
                whole=True,
            ),
        ),
        served=False,
        remark=NOT_SERVED,
    ),
    Algorithm.HIST_GRADIENT_BOOSTING: Offer(
        "Gradient boosting on histograms",
        (
            Setting(
                "learning_rate",
                0.1,
                "Learning rate",
                "How much each tree corrects those before it; smaller learns slower and needs more trees.",
                low=0.001,
                high=1.0,
            ),
            Setting(
                "max_iter",
                100,
                "Trees at most",
                "How many trees are added, one after the other.",
                low=10,
                high=2000,
                whole=True,
            ),
            Setting(
                "max_leaf_nodes",
                31,
                "Leaves of a tree at most",
                "Fewer leaves make each tree simpler.",
                low=2,
                high=1024,
                whole=True,
            ),
            Setting(
                "min_samples_leaf",
                20,
                "Rows in a leaf at least",
                "More rows make a tree coarser and less able to learn single people by heart.",
                low=1,
                high=100_000,
                whole=True,
            ),
            Setting(
                "l2_regularization",
                0.0,
                "Regularisation (L2)",
                "Larger keeps each leaf's correction closer to nothing; 0 does not hold it back.",
                low=0.0,
                high=1000.0,
            ),
        ),
        served=False,
        remark=NOT_SERVED,
    ),
}


class SettingMistakes(ValueError):
    """Algorithm, settings or seed are not allowed: one sentence for each mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """`mistakes`: sentences."""
        super().__init__(" ".join(mistakes))
        self.mistakes = tuple(mistakes)


def settings_for(algorithm: str, given: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """The complete settings of `algorithm`, defaults filled in; raises `SettingMistakes` naming everything that is wrong."""
    if algorithm not in set(Algorithm):
        raise SettingMistakes([f"There is no algorithm {algorithm!r}; choose one of {', '.join(Algorithm)}."])
    offered = {setting.name: setting for setting in OFFERS[Algorithm(algorithm)].settings}
    mistakes = [
        f"{algorithm} has no setting {name!r}; it has {', '.join(offered)}." for name in given if name not in offered
    ]
    mistakes += [
        offered[name].mistake(value)
        for name, value in given.items()
        if name in offered and not offered[name].accepts(value)
    ]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        mistakes.append(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    if mistakes:
        raise SettingMistakes(mistakes)
    return {name: given.get(name, setting.default) for name, setting in offered.items()}
