"""What an approval rests on, in one shape for all of them, so that a release cites it and a proof reads it in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from registry.models import ModelVersion, Stage
from reviews.models import Round


@dataclass(frozen=True)
class Ground:
    """Why it does not hold (empty: it does), what a release by it cites, until when it may be promoted, and until when pulled."""

    problem: str
    valid_until: datetime
    pulls_until: datetime
    cites: Mapping[str, Any] = field(default_factory=dict)


def round_name(round_: Round) -> str:
    """How releases cite a round."""
    return f"{round_.review.uuid}/{round_.number}"


def about(version: ModelVersion, stage: Stage) -> dict[str, Any]:
    """What every statement about one version at one stage says of it."""
    return {"model": version.model.name, "version": version.number, "stage": stage.name, "digest": version.digest}
