"""The policies that ship, published as version 1: one per risk tier for production, one for staging."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

from reviews.policies import parse
from reviews.shipped import shipped_policies


def publish(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Put them in force."""
    policies, versions = apps.get_model("reviews", "Policy"), apps.get_model("reviews", "PolicyVersion")
    for name, content in shipped_policies().items():
        document = parse(content)
        versions.objects.create(
            policy=policies.objects.create(name=name, title=document.title),
            number=1,
            status="published",
            content=document.as_dict(),
            digest=document.digest,
            note="Ships with the product",
            published_at=timezone.now(),
        )


def withdraw(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Take them away; refused by the database once a round was opened under one."""
    names = list(shipped_policies())
    apps.get_model("reviews", "PolicyVersion").objects.filter(policy__name__in=names, number=1).delete()
    apps.get_model("reviews", "Policy").objects.filter(name__in=names, versions=None).delete()


class Migration(migrations.Migration):
    dependencies = [("reviews", "0001_initial"), ("access", "0002_built_in_roles"), ("registry", "0002_stages")]

    operations = [migrations.RunPython(publish, withdraw)]
