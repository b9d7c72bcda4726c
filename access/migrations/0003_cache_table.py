"""The table behind `CACHES`: used authenticator codes and counted rates, for every process of the installation."""

from __future__ import annotations

from django.core.management import call_command
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLE = "access_cache"


def create(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create it; where it is there already, nothing happens."""
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


def drop(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take it away again."""
    schema_editor.execute(f"DROP TABLE {schema_editor.quote_name(TABLE)}")


class Migration(migrations.Migration):
    """One table that no model has."""

    dependencies = [("access", "0002_built_in_roles")]
    operations = [migrations.RunPython(create, drop)]
