"""Those who review, release and audit read every experiment; whoever trains or registers has their own, and what is shared with them."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

ROLES, PERMISSION = ("Reviewer", "Risk officer", "Release manager", "Auditor"), "experiments.see"


def give(apps: StateApps, schema_editor: Any) -> None:
    """Add the permission to the built-in roles."""
    for role in apps.get_model("access", "Role").objects.filter(name__in=ROLES, built_in=True):
        role.permissions = [*role.permissions, PERMISSION]
        role.save(update_fields=["permissions"])


def take(apps: StateApps, schema_editor: Any) -> None:
    """Take it away again."""
    for role in apps.get_model("access", "Role").objects.filter(built_in=True):
        if PERMISSION in role.permissions:
            role.permissions = [one for one in role.permissions if one != PERMISSION]
            role.save(update_fields=["permissions"])


class Migration(migrations.Migration):
    dependencies = [("access", "0007_webhooks_manage")]

    operations = [migrations.RunPython(give, take)]
