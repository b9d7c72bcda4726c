"""Administrators may have events sent to other systems, and so may programs that are given a role for it."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

ROLE, PERMISSION = "Administrator", "webhooks.manage"
SERVICE = "Service: webhooks"


def give(apps: StateApps, schema_editor: Any) -> None:
    """Add the permission to the built-in role, and a role for programs, which gives it beside seeing models."""
    roles = apps.get_model("access", "Role").objects
    for role in roles.filter(name=ROLE, built_in=True):
        role.permissions = [*role.permissions, PERMISSION]
        role.save(update_fields=["permissions"])
    if not roles.filter(name=SERVICE).exists():
        roles.create(
            name=SERVICE,
            description="For programs that look after webhooks",
            permissions=["see_model", PERMISSION],
            built_in=True,
        )


def take(apps: StateApps, schema_editor: Any) -> None:
    """Take it away again; the role goes where nobody holds it."""
    roles = apps.get_model("access", "Role").objects
    roles.filter(name=SERVICE, built_in=True, assignments=None).delete()
    for role in roles.filter(built_in=True):
        if PERMISSION in role.permissions:
            role.permissions = [one for one in role.permissions if one != PERMISSION]
            role.save(update_fields=["permissions"])


class Migration(migrations.Migration):
    dependencies = [("access", "0006_refused_attempts")]

    operations = [migrations.RunPython(give, take)]
