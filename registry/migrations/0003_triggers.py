"""The database refuses to point a stage's alias past a promotion and to change what is immutable (see `registry.triggers`)."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from registry import triggers


def install(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    triggers.install(editor.connection)


def remove(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them."""
    triggers.remove(editor.connection)


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_stages")]

    operations = [migrations.RunPython(install, remove)]
