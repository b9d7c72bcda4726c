"""What a role's holders may give to others, and the built-in roles that were missing. Going back removes those that nobody holds.

Until now whoever managed people could give everything. So every role with that permission is trusted to give what there was to give.
"""

from typing import Any

from django.db import migrations, models
from django.db.migrations.state import StateApps

MANAGES = "people.manage"
SEES_ALL = ["see_model", "datasets.see", "monitoring.see", "people.see"]
EVERYTHING = [
    "see_model",
    "edit_model",
    "register_version",
    "set_alias",
    "request_review",
    "promote_version",
    "pull_version",
    "score_model",
    "revoke_version",
    "manage_access",
    "break_glass",
    "model.create",
    "datasets.see",
    "datasets.edit",
    "training.run",
    "policies.write",
    "policies.publish",
    "access_policies.write",
    "access_policies.publish",
    "audit.see",
    "ledger.acknowledge",
    "monitoring.see",
    "deployments.manage",
    "people.manage",
    "people.see",
    "tokens.manage",
    "outcomes.feed",
    "webhooks.manage",
    "experiments.see",
]
ROLES: dict[str, tuple[str, list[str], list[str]]] = {
    "Validator": (
        "Validates models: sees everything that a review rests on; signing takes a slot's group besides",
        [*SEES_ALL, "audit.see", "experiments.see"],
        [],
    ),
    "Business owner": (
        "Answers for the use of models: sees what is asked of the business; signing takes a slot's group besides",
        [*SEES_ALL, "audit.see"],
        [],
    ),
    "Legal": (
        "Answers for what models may be used for; signing takes a slot's group besides",
        [*SEES_ALL, "audit.see"],
        [],
    ),
    "Executive": ("Reads reports, models and monitoring, and changes nothing", [*SEES_ALL, "audit.see"], []),
    "Access administrator": (
        "Says who may come in and what for; holds nothing of what it gives, and signs nothing",
        ["see_model", "people.see", MANAGES, "tokens.manage"],
        EVERYTHING,
    ),
    "Policy administrator": (
        "Drafts and publishes admission policies and access policies; never what they wrote themselves",
        [
            *SEES_ALL,
            "audit.see",
            "policies.write",
            "policies.publish",
            "access_policies.write",
            "access_policies.publish",
        ],
        [],
    ),
    "Service": (
        "For programs that fetch approved versions and ask for predictions",
        ["see_model", "pull_version", "score_model", "outcomes.feed"],
        [],
    ),
}


def create(apps: StateApps, schema_editor: Any) -> None:
    """Whoever manages people goes on giving everything; a role of one's own with one of the names stays as it is."""
    roles = apps.get_model("access", "Role").objects
    for role in roles.all():
        if MANAGES in role.permissions:
            role.gives = EVERYTHING
            role.save(update_fields=["gives"])
    for name, (description, permissions, gives) in ROLES.items():
        roles.get_or_create(
            name=name,
            defaults={"description": description, "permissions": permissions, "gives": gives, "built_in": True},
        )


def remove(apps: StateApps, schema_editor: Any) -> None:
    """Only what nobody holds goes."""
    apps.get_model("access", "Role").objects.filter(name__in=ROLES, built_in=True, assignments=None).delete()


class Migration(migrations.Migration):
    dependencies = [("access", "0010_access_policies")]

    operations = [
        migrations.AddField(
            model_name="role",
            name="gives",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="permissions that its holder may give to others without having them; whoever holds one may give it anyway",
            ),
        ),
        migrations.RunPython(create, remove),
    ]
