"""Decides what a committee gets on paper about one version: the review page as it is for nobody in particular, at one moment.

Whoever asks for it gets the same pack: nothing in it depends on the reader, and no clock but `at` is asked. Signatures are printed
from their statements, as on the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from access.principal import Principal
from audit.queries import Head, latest_checkpoint
from foundation.charts import Drawing, has_picture
from registry.models import ModelVersion
from reports.signed import ConditionLine, ExceptionLine, SignatureLine, conditions_of, exceptions_in, line_of
from reviews.discussion import Said, discussion_of
from reviews.models import Finding, Review, Thread
from reviews.pages import VersionPage, version_page
from reviews.policies import PolicyDocument, PolicyRef
from reviews.sections.changes import DiffRow
from reviews.standing import Signature


@dataclass(frozen=True)
class Signed:
    """One decision of the round: what its statement says (None: the registry did not sign it), and how it stands."""

    signature: Signature
    line: SignatureLine | None


@dataclass(frozen=True)
class ReviewPack:
    """Everything that is printed."""

    at: datetime
    page: VersionPage
    signed: Sequence[Signed]
    conditions: Sequence[ConditionLine]
    exceptions: Sequence[ExceptionLine]
    findings: Sequence[tuple[Finding, bool]]
    threads: Sequence[tuple[Thread, Sequence[Said]]]
    policies: Sequence[tuple[PolicyRef, PolicyDocument]]
    checkpoint: Head | None

    @property
    def version(self) -> ModelVersion:
        """What it is about."""
        return self.page.found.version

    @property
    def reference(self) -> str:
        """How its pages are marked."""
        return f"{self.version.model.name} v{self.version.number}, {self.page.found.stage.title.lower()}"

    @property
    def performance_charts(self) -> list[tuple[str, Drawing]]:
        """The curves, those that there are."""
        shown = self.page.performance
        drawn = (
            [("ROC", shown.roc), ("Calibration", shown.calibration), ("Precision and recall", shown.pr)]
            if shown
            else []
        )
        return [one for one in drawn if has_picture(one[1])]

    @property
    def differences(self) -> list[DiffRow]:
        """The fields that differ from the version it is compared with."""
        return [row for row in self.page.changes.rows if not row.same]


def pack_of(version: ModelVersion, *, at: datetime, stage: str = "", base: str = "") -> ReviewPack:
    """The pack of `version` for `stage` beside the version `base`, both as in the page's address, as things are at `at`."""
    page = version_page(version, Principal.anonymous(), stage=stage, base=base, at=at)
    found = page.found
    standing = found.standing
    findings = version.findings.select_related("owner", "raised_by", "verifying_group").order_by("due_at", "pk")
    return ReviewPack(
        at=at,
        page=page,
        signed=[
            Signed(one, line_of(one.sign_off.statement, obj=one.sign_off.ledger_ref()))
            for one in (standing.signatures if standing else ())
        ],
        conditions=conditions_of(standing, at) if standing else (),
        exceptions=exceptions_in(found.exceptions),
        findings=[(one, one.is_overdue(at)) for one in findings],
        threads=_threads(found.review),
        policies=found.rules.policies,
        checkpoint=latest_checkpoint(),
    )


def _threads(review: Review | None) -> list[tuple[Thread, Sequence[Said]]]:
    if review is None:
        return []
    discussion = discussion_of(review)
    return [(thread, discussion.said[thread.pk]) for thread in discussion.threads]
