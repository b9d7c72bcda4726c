"""The accounts of our own workers, and the files in which they find their tokens (mode 0600, renewed before they expire)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from access import actions
from access.models import Role, ServiceToken, User
from access.permissions import Permission
from access.principal import Principal

TOKEN_DAYS: Final = 90
RENEW_BEFORE: Final = timedelta(days=30)


@dataclass(frozen=True)
class WorkerAccount:
    """One worker's account: its role and the permissions its token keeps."""

    name: str
    description: str
    role: str
    scopes: tuple[Permission, ...]
    token_file: Path


def accounts() -> tuple[WorkerAccount, ...]:
    """The workers that Countersign itself runs."""
    return (
        WorkerAccount(
            "training-worker",
            "Logs training runs to MLflow",
            "Service: register",
            (Permission.SEE_MODEL, Permission.REGISTER_VERSION),
            settings.TRAINING_TOKEN_FILE,
        ),
        WorkerAccount(
            "scoring-worker",
            "Pulls approved versions and answers scoring requests",
            "Service: pull",
            (Permission.SEE_MODEL, Permission.PULL_VERSION),
            settings.SCORING_TOKEN_FILE,
        ),
    )


def create(owner_name: str = "erin") -> None:
    """Create the workers' accounts under a person who answers for them, and see that each token file holds a token that still works."""
    operator = Principal.system("operator")
    owner = User.objects.people().get(username=owner_name)
    for account in accounts():
        user = User.objects.services().filter(username=account.name).first()
        if user is None:
            user = actions.create_service_account(
                account.name, owner=owner, description=account.description, by=operator
            )
            actions.assign_role(Role.objects.get(name=account.role), to=user, by=operator)
        if _needs_token(user, account.token_file):
            issued = actions.issue_token(
                user, name="worker", scopes=list(account.scopes), models=[], days=TOKEN_DAYS, by=operator
            )
            _write(account.token_file, issued.secret)


def _needs_token(user: User, path: Path) -> bool:
    lasting = ServiceToken.objects.usable(timezone.now() + RENEW_BEFORE).filter(user=user)
    return not path.exists() or not lasting.exists()


def _write(path: Path, secret: str) -> None:
    """Replace the token file in one step, so that a worker never reads half a token."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
