"""Risk officers may answer for a ledger that does not verify."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

ROLE, PERMISSION = "Risk officer", "ledger.acknowledge"


def give(apps: StateApps, schema_editor: Any) -> None:
    """Add the permission to the built-in role, where there is one."""
    for role in apps.get_model("access", "Role").objects.filter(name=ROLE, built_in=True):
        role.permissions = [*role.permissions, PERMISSION]
        role.save(update_fields=["permissions"])


def take(apps: StateApps, schema_editor: Any) -> None:
    """Take it away again."""
    for role in apps.get_model("access", "Role").objects.filter(name=ROLE, built_in=True):
        role.permissions = [one for one in role.permissions if one != PERMISSION]
        role.save(update_fields=["permissions"])


class Migration(migrations.Migration):
    dependencies = [("access", "0004_person_single_keys")]

    operations = [migrations.RunPython(give, take)]
