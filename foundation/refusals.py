"""Refusals: the one kind of exception that tells a person what was refused and what to do about it.

Rooms raise them; the edges (HTML, problem JSON, the MLflow wire) each map them once. Nothing ever matches on their text:
`code` is the stable, machine-readable name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

PROBLEM_TYPE_BASE: Final = "urn:countersign:refusal:"


class RequirementStatus(StrEnum):
    """How one requirement stands. `ERROR` blocks: a rule that cannot be evaluated is not a pass."""

    NOT_APPLICABLE = "not_applicable"
    UNSATISFIED = "unsatisfied"
    SATISFIED = "satisfied"
    EXCEPTED = "excepted"
    ERROR = "error"
    WAITING = "waiting"


@dataclass(frozen=True)
class Requirement:
    """One requirement with what was measured, what is required, and who or what can clear it. All values are text ready to show."""

    key: str
    title: str
    status: RequirementStatus
    measured: str = ""
    required: str = ""
    production: str = ""
    explanation: str = ""
    cleared_by: str = ""
    link: str = ""

    @property
    def blocks(self) -> bool:
        """Whether a promotion has to wait for this requirement."""
        return self.status in {RequirementStatus.UNSATISFIED, RequirementStatus.ERROR, RequirementStatus.WAITING}


@dataclass(eq=False)
class Refusal(Exception):
    """Something was asked for and is refused, with a sentence a person can act on."""

    detail: str
    code: str = "refused"
    title: str = "Refused"
    status: int = 409
    requirements: tuple[Requirement, ...] = ()
    link: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    rule: str = ""
    """The id of the access policy's rule that decided, for the record; told to nobody by itself."""

    def __str__(self) -> str:
        """The sentence, followed by one line for each unmet requirement."""
        lines = [self.detail]
        for unmet in self.unmet:
            needed = f" (measured {unmet.measured}, required {unmet.required})" if unmet.required else ""
            cleared = f" Cleared by: {unmet.cleared_by}." if unmet.cleared_by else ""
            lines.append(f"- {unmet.title}{needed}: {unmet.explanation}{cleared}")
        return "\n".join(lines)

    @property
    def unmet(self) -> tuple[Requirement, ...]:
        """The requirements that block, in the order in which the policy names them."""
        return tuple(requirement for requirement in self.requirements if requirement.blocks)

    def as_problem(self, *, instance: str = "") -> dict[str, Any]:
        """This refusal as an RFC 9457 problem object; `requirements` and `link` are extension members."""
        problem: dict[str, Any] = {
            "type": PROBLEM_TYPE_BASE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            problem["instance"] = instance
        if self.requirements:
            problem["requirements"] = [asdict(requirement) for requirement in self.requirements]
        if self.link:
            problem["link"] = self.link
        return problem | self.extra


@dataclass(eq=False)
class Forbidden(Refusal):
    """The person or service may not do this (who may)."""

    code: str = "forbidden"
    title: str = "Not permitted"
    status: int = 403


@dataclass(eq=False)
class Unauthenticated(Refusal):
    """Nobody is signed in, or the credential is unknown, expired or revoked."""

    code: str = "unauthenticated"
    title: str = "Sign in first"
    status: int = 401


@dataclass(eq=False)
class NotFound(Refusal):
    """There is no such thing, or the caller may not know whether there is."""

    code: str = "not-found"
    title: str = "Not found"
    status: int = 404


@dataclass(eq=False)
class Conflict(Refusal):
    """The state of things does not allow this now (whether now)."""

    code: str = "conflict"
    title: str = "Not now"
    status: int = 409


@dataclass(eq=False)
class Invalid(Refusal):
    """What was sent is wrong; the sentence names the field and what to do. `errors` maps fields to sentences."""

    code: str = "invalid"
    title: str = "Please correct this"
    status: int = 400
    errors: dict[str, str] = field(default_factory=dict)

    def as_problem(self, *, instance: str = "") -> dict[str, Any]:
        """The RFC 9457 problem with the extension member `errors`."""
        problem = super().as_problem(instance=instance)
        return problem | {"errors": self.errors} if self.errors else problem


@dataclass(eq=False)
class TooLarge(Refusal):
    """More bytes, files or rows than the limit, which the sentence states."""

    code: str = "too-large"
    title: str = "Too large"
    status: int = 413


@dataclass(eq=False)
class Unavailable(Refusal):
    """Nothing is wrong with the request; storage or the database cannot take it at this moment. Nothing was written."""

    code: str = "unavailable"
    title: str = "Try again shortly"
    status: int = 503
