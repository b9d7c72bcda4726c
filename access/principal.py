"""Decides who is asking: a person in a session, a service with a token, a worker for somebody, or the installation itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audit.events import Actor

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import Model

    from access.models import User
    from access.permissions import Held, Permission


@dataclass(frozen=True)
class Principal:
    """Who asks, through which door, and how far the credential reaches. It says nothing of what is allowed: `permissions` does.

    `scopes` and `models` narrow what a token may use of its account's permissions; None means that they do not narrow.
    `part` names a part of the installation that acts without a user (see `permissions.SYSTEM`). `job`: the kind of the job whose
    worker acts for the user; only `jobs.work` says so, and no request can. `held` is set by `permissions.snapshot` alone, for
    drawing a page. `strength` says how they proved who they are at the door (see `access.entry.language.STRENGTHS`), and is empty for
    whoever is not at one: a worker for somebody, or a person who is only asked about. `purpose` is what was declared with the request.
    """

    user: User | None
    via: str
    scopes: frozenset[Permission] | None = None
    models: frozenset[str] | None = None
    request_id: str = ""
    ip: str = ""
    user_agent: str = ""
    part: str = ""
    job: str = ""
    strength: str = ""
    purpose: str = ""
    held: Held | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        user: User | AnonymousUser,
        via: str = "shell",
        *,
        request_id: str = "",
        ip: str = "",
        user_agent: str = "",
        strength: str = "",
        purpose: str = "",
    ) -> Principal:
        """A signed-in user, or an anonymous principal where nobody is signed in."""
        from access.models import User

        known = user if isinstance(user, User) else None
        return cls(
            known,
            via if known else "anonymous",
            request_id=request_id,
            ip=ip,
            user_agent=user_agent,
            strength=strength if known else "",
            purpose=purpose,
        )

    @classmethod
    def anonymous(cls, *, request_id: str = "", ip: str = "", user_agent: str = "") -> Principal:
        """Nobody in particular, who may do nothing but sign in."""
        return cls(None, "anonymous", request_id=request_id, ip=ip, user_agent=user_agent)

    @classmethod
    def system(cls, name: str) -> Principal:
        """A part of the installation without a user; `permissions.SYSTEM` says what each may do, most of them nothing."""
        return cls(None, name, part=name)

    @property
    def actor(self) -> Actor:
        """How the ledger names whoever asks; address, user agent and name enter it as erasable disclosures."""
        private = {"ip": self.ip, "user_agent": self.user_agent, "name": self.user.username if self.user else ""}
        kind, identity = self._identity()
        return Actor(
            kind=kind,  # type: ignore[arg-type]  # User.kind is one of two of Actor's four words, held by a constraint
            id=identity,
            via=self.via,
            request_id=self.request_id,
            private={name: value for name, value in private.items() if value},
        )

    def _identity(self) -> tuple[str, str]:
        if self.user:
            return self.user.kind, str(self.user.uuid)
        return ("system", self.part) if self.part else ("anonymous", "")

    @property
    def is_anonymous(self) -> bool:
        """Whether neither a user nor a part of the installation asks."""
        return self.user is None and not self.part

    @property
    def name(self) -> str:
        """What people read: the user's display name, the part of the installation, or "somebody"."""
        return str(self.user) if self.user else self.part or "somebody who is not signed in"

    def allows(self, permission: Permission | str, obj: Model | None = None) -> bool:
        """Whether `permissions.verdict` allows it: for showing or hiding a button. Actions call `permit`.

        The room below this one, `audit`, names its permission by its value.
        """
        from access.permissions import Permission, verdict

        return verdict(self, Permission(permission), obj).allowed
