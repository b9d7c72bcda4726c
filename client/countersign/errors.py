"""What can go wrong for whoever uses the client: each kind with a sentence to act on and the exit code of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final


class CountersignError(Exception):
    """Something was asked for and cannot be done; the text is a sentence for a person, `reason` its stable name."""

    exit_code: int = 2

    def __init__(self, sentence: str, *, reason: str = "error") -> None:
        super().__init__(sentence)
        self.reason = reason

    def as_json(self) -> dict[str, Any]:
        """The error for machines."""
        return {"error": self.reason, "detail": str(self), "exit_code": self.exit_code}


class NotProven(CountersignError):
    """What was delivered is not what was signed, or is not allowed to be used now: nothing of it should be loaded."""

    exit_code = 1


class Misused(CountersignError):
    """The command, a file or a setting is not as it has to be."""

    exit_code = 2


class Refused(CountersignError):
    """The registry refuses: not approved, not permitted, not there. `requirements` are what is missing, where it said so."""

    exit_code = 3

    def __init__(
        self,
        sentence: str,
        *,
        reason: str = "refused",
        status: int = 409,
        requirements: Sequence[Mapping[str, Any]] = (),
        link: str = "",
    ) -> None:
        super().__init__(sentence, reason=reason)
        self.status = status
        self.requirements = tuple(requirements)
        self.link = link

    @property
    def unmet(self) -> list[Mapping[str, Any]]:
        """The requirements that stand in the way."""
        return [one for one in self.requirements if one.get("status") in BLOCKING]

    def as_json(self) -> dict[str, Any]:
        """The refusal for machines, with everything that is missing."""
        more = {"status": self.status, "requirements": list(self.requirements), "link": self.link}
        return super().as_json() | more


class NotReached(CountersignError):
    """The registry did not answer, or broke off: trying again later may help."""

    exit_code = 4


class LocalTrouble(CountersignError):
    """This machine cannot take it: no space, no permission, a folder that is in the way."""

    exit_code = 5


BLOCKING: Final = frozenset({"unsatisfied", "error", "waiting"})
