"""The roles and groups that every installation starts with. Going back removes those that nobody holds."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

SEES_ALL = ["see_model", "datasets.see", "monitoring.see", "people.see"]

ROLES: dict[str, tuple[str, list[str]]] = {
    "Viewer": ("Sees models, datasets and monitoring", SEES_ALL),
    "Data scientist": (
        "Prepares data, trains, and creates models, which they then own",
        [*SEES_ALL, "datasets.edit", "training.run", "model.create"],
    ),
    "Reviewer": (
        "Sees everything that a review rests on; signing takes a slot's group besides",
        [*SEES_ALL, "audit.see"],
    ),
    "Risk officer": (
        "Publishes policies and revokes approvals",
        [*SEES_ALL, "audit.see", "policies.publish", "revoke_version", "break_glass"],
    ),
    "Policy author": ("Drafts admission policies, which somebody else publishes", [*SEES_ALL, "policies.write"]),
    "Release manager": (
        "Promotes what has been signed, rolls back, revokes",
        [*SEES_ALL, "audit.see", "promote_version", "set_alias", "revoke_version", "break_glass"],
    ),
    "Auditor": ("Reads everything, the audit log included, and changes nothing", [*SEES_ALL, "audit.see"]),
    "Administrator": (
        "Manages people, tokens and deployments; neither promotes nor signs",
        ["see_model", "monitoring.see", "people.see", "people.manage", "tokens.manage", "deployments.manage"],
    ),
    "Service: pull": ("For programs that fetch approved versions", ["see_model", "pull_version"]),
    "Service: score": ("For programs that ask for predictions and report outcomes", ["score_model", "outcomes.feed"]),
    "Service: register": (
        "For pipelines that create models, register versions and tag them",
        ["see_model", "model.create", "register_version", "edit_model", "set_alias", "datasets.see"],
    ),
}
GROUPS = ["Model validation", "Risk officers", "Business owners", "Legal and compliance"]


def create(apps: StateApps, schema_editor: Any) -> None:
    """Roles, groups, and the one role that comes with a group: risk officers can stop what they answer for."""
    role_model, group_model = apps.get_model("access", "Role"), apps.get_model("auth", "Group")
    for name, (description, permissions) in ROLES.items():
        role_model.objects.create(name=name, description=description, permissions=permissions, built_in=True)
    for name in GROUPS:
        group_model.objects.get_or_create(name=name)
    apps.get_model("access", "RoleAssignment").objects.create(
        role=role_model.objects.get(name="Risk officer"), group=group_model.objects.get(name="Risk officers")
    )


def remove(apps: StateApps, schema_editor: Any) -> None:
    """Only what is unused goes."""
    apps.get_model("access", "RoleAssignment").objects.filter(
        role__name="Risk officer", group__name="Risk officers"
    ).delete()
    apps.get_model("access", "Role").objects.filter(built_in=True, assignments=None).delete()
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS, user=None).delete()


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(create, remove)]
