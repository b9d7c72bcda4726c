"""A bundle may leave the database once a file holds it, and the database says which: no other full bundle may go.

The triggers are taken off before the table is made and put on after it, so that each time has its own.
"""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from audit import triggers


def install(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    triggers.install(editor.connection)


def remove(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them."""
    triggers.remove(editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_index_request")]

    operations = [
        migrations.RunPython(remove, install),
        migrations.CreateModel(
            name="Archived",
            fields=[
                ("n", models.BigIntegerField(primary_key=True, serialize=False)),
                ("root", models.BinaryField(help_text="the root of its 256 leaf hashes")),
                ("sha256", models.BinaryField(help_text="of its file")),
            ],
            options={"db_table": "audit_archived"},
        ),
        migrations.RunPython(install, remove),
    ]
