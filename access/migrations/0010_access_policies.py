"""Access policies, with the one that comes with the product: whoever holds the permission is let in, as before there were any."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

from access.entry import triggers
from countersign.proof.canonical import digest_of

NAME = "everybody-with-the-permission"
CONTENT = {
    "title": "Everybody with the permission",
    "summary": "Whoever holds the permission to read, pull or score is let in, from anywhere and at any time.",
    "target": {"actions": ["read", "pull", "score"], "models": [], "teams": [], "tiers": [], "stages": []},
    "rules": [
        {
            "key": "everybody",
            "effect": "allow",
            "because": "Whoever holds the permission is let in.",
            "when": "true",
            "satisfy": "",
        }
    ],
    "format": 1,
}
GIVES = {
    "Administrator": ["access_policies.write", "access_policies.publish"],
    "Risk officer": ["access_policies.publish"],
    "Policy author": ["access_policies.write"],
}


def publish(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Put the built-in policy in force."""
    now, digest = timezone.now(), digest_of(CONTENT)
    policy = apps.get_model("access", "AccessPolicy").objects.create(name=NAME)
    version = apps.get_model("access", "AccessPolicyVersion").objects.create(
        policy=policy, number=1, status="published", content=CONTENT, digest=digest, published_at=now
    )
    apps.get_model("access", "AccessPolicyPublication").objects.create(
        version=version, set_digest=digest_of([{"name": NAME, "number": 1, "digest": digest}])
    )


def give(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Who administers access writes policies and publishes those of others; risk officers publish too."""
    for role in apps.get_model("access", "Role").objects.filter(built_in=True, name__in=GIVES):
        role.permissions = [*role.permissions, *GIVES[role.name]]
        role.save(update_fields=["permissions"])


def take(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take it away again."""
    for role in apps.get_model("access", "Role").objects.filter(built_in=True, name__in=GIVES):
        role.permissions = [one for one in role.permissions if one not in GIVES[role.name]]
        role.save(update_fields=["permissions"])


def guard(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    triggers.install(schema_editor.connection)


def unguard(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them; the policies go with their tables."""
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0009_team_roles"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=63, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AccessPolicyVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published")], default="draft", max_length=10
                    ),
                ),
                ("content", models.JSONField()),
                ("digest", models.CharField(help_text="SHA-256 of the canonical content", max_length=64)),
                ("retires", models.BooleanField(default=False, help_text="publishing it ends the policy")),
                ("note", models.CharField(blank=True, help_text="what changed and why", max_length=300)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                ("authors", models.ManyToManyField(related_name="+", to=settings.AUTH_USER_MODEL)),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="access.accesspolicy"
                    ),
                ),
                (
                    "published_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="empty: it came with the product",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["policy", "-number"],
            },
        ),
        migrations.CreateModel(
            name="AccessPolicyPublication",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("set_digest", models.CharField(max_length=64)),
                (
                    "rehearsal",
                    models.CharField(
                        blank=True, help_text="the rehearsal that whoever published it had seen", max_length=64
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "by",
                    models.ForeignKey(
                        help_text="empty: it came with the product",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="publication",
                        to="access.accesspolicyversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.AddConstraint(
            model_name="accesspolicyversion",
            constraint=models.UniqueConstraint(fields=("policy", "number"), name="access_policy_number_once"),
        ),
        migrations.AddConstraint(
            model_name="accesspolicyversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "draft")), fields=("policy",), name="access_policy_one_draft"
            ),
        ),
        migrations.AddConstraint(
            model_name="accesspolicyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("published_at", None), ("published_by", None), ("status", "draft")),
                    models.Q(("published_at__isnull", False), ("status", "published")),
                    _connector="OR",
                ),
                name="access_policy_published_paired",
            ),
        ),
        migrations.RunPython(guard, unguard),
        migrations.RunPython(publish, migrations.RunPython.noop),
        migrations.RunPython(give, take),
    ]
