"""The database refuses to change or erase what was signed, published or revoked (see `reviews.triggers`)."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from registry import triggers
from reviews.triggers import RULES


def install(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    triggers.install(editor.connection, RULES)


def remove(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them."""
    triggers.remove(editor.connection, RULES)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0002_shipped_policies")]

    operations = [migrations.RunPython(install, remove)]
