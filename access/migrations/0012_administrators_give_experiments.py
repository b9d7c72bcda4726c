"""Whoever manages people may give the permission over all experiments too; going back leaves it, since nobody can give it then."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

MANAGES, PERMISSION = "people.manage", "experiments.edit"


def give(apps: StateApps, schema_editor: Any) -> None:
    """To every role that manages people."""
    for role in apps.get_model("access", "Role").objects.all():
        if MANAGES in role.permissions and PERMISSION not in role.gives:
            role.gives = [*role.gives, PERMISSION]
            role.save(update_fields=["gives"])


class Migration(migrations.Migration):
    dependencies = [("access", "0011_roles_that_give")]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
