"""SQLite's `OR REPLACE` removes no row that the other triggers keep (see `reviews.triggers`)."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from registry import triggers
from reviews.triggers import NOT_REPLACED


def install(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    triggers.install(editor.connection, NOT_REPLACED)


def remove(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them."""
    triggers.remove(editor.connection, NOT_REPLACED)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0003_triggers")]

    operations = [migrations.RunPython(install, remove)]
