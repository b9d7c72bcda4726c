"""Who holds a role, a grant or a level: one account, or everybody in a group. How rows and the ledger name it, and who is in it."""

from __future__ import annotations

from typing import TypeAlias

from django.contrib.auth.models import Group

from access.models import User

Holder: TypeAlias = User | Group


def holder_fields(holder: Holder) -> dict[str, Holder]:
    """The field of a row that has one for accounts (`user`) and one for groups (`group`)."""
    return {"user": holder} if isinstance(holder, User) else {"group": holder}


def holder_ref(holder: Holder) -> str:
    """How an entry of the ledger names the holder: an account by its number only, since names are personal data."""
    return f"{holder.kind}:{holder.uuid}" if isinstance(holder, User) else f"group:{holder.name}"


def is_part_of(user: User, holder: Holder) -> bool:
    """Whether what the holder gets is the user's: it is them, a service account of theirs, or a group that they are in."""
    if isinstance(holder, User):
        return user.pk in {holder.pk, holder.owner_id}
    return holder.user_set.filter(pk=user.pk).exists()
