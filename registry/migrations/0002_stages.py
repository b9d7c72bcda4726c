"""The two stages that ship: staging, then production, each with the alias that only a promotion moves."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

STAGES = (
    ("staging", "Staging", "challenger", 1),
    ("production", "Production", "champion", 2),
)


def create(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Put them there."""
    stage = apps.get_model("registry", "Stage")
    for name, title, alias, order in STAGES:
        stage.objects.create(name=name, title=title, alias=alias, order=order)


def delete(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Take them away; refused by the database once something was promoted."""
    apps.get_model("registry", "Stage").objects.filter(name__in=[name for name, *_ in STAGES]).delete()


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [migrations.RunPython(create, delete)]
