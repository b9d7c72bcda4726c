"""Names every permission there is, and the sets of them that rules refer to. `permissions` decides who has one."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """Everything that can be permitted.

    A permission over every object is `noun.verb` in lower case. One that can also be granted on a single registered model is
    `verb_noun`, the codename under which that model declares it. Members are `VERB_NOUN`. No permission says "may sign": a
    person signs by being in a slot's group and independent of the version, which `reviews` decides.
    """

    # on registered models, one by one or all
    SEE_MODEL = "see_model"
    EDIT_MODEL = "edit_model"
    REGISTER_VERSION = "register_version"
    SET_ALIAS = "set_alias"
    REQUEST_REVIEW = "request_review"
    PROMOTE_VERSION = "promote_version"
    PULL_VERSION = "pull_version"
    SCORE_MODEL = "score_model"
    REVOKE_VERSION = "revoke_version"
    MANAGE_ACCESS = "manage_access"
    BREAK_GLASS = "break_glass"

    # over everything
    CREATE_MODEL = "model.create"
    SEE_DATASETS = "datasets.see"
    EDIT_DATASETS = "datasets.edit"
    RUN_TRAINING = "training.run"
    WRITE_POLICIES = "policies.write"
    PUBLISH_POLICIES = "policies.publish"
    WRITE_ACCESS_POLICIES = "access_policies.write"
    PUBLISH_ACCESS_POLICIES = "access_policies.publish"
    SEE_AUDIT = "audit.see"
    ACKNOWLEDGE_LEDGER = "ledger.acknowledge"
    SEE_MONITORING = "monitoring.see"
    MANAGE_DEPLOYMENTS = "deployments.manage"
    MANAGE_PEOPLE = "people.manage"
    SEE_PEOPLE = "people.see"
    MANAGE_TOKENS = "tokens.manage"
    FEED_OUTCOMES = "outcomes.feed"
    MANAGE_WEBHOOKS = "webhooks.manage"
    SEE_EXPERIMENTS = "experiments.see"
    EDIT_EXPERIMENTS = "experiments.edit"

    @property
    def on_models(self) -> bool:
        """Whether it can be granted on one registered model."""
        return "." not in self.value

    @property
    def label(self) -> str:
        """What it lets somebody do, to be read after "may"."""
        return LABELS[self]


LABELS: Final[dict[Permission, str]] = {
    Permission.SEE_MODEL: "see models, their versions and evidence",
    Permission.EDIT_MODEL: "edit a model's description, tags and card",
    Permission.REGISTER_VERSION: "register versions and attach evidence",
    Permission.SET_ALIAS: "move free aliases",
    Permission.REQUEST_REVIEW: "request and withdraw reviews",
    Permission.PROMOTE_VERSION: "promote an approved version",
    Permission.PULL_VERSION: "pull approved versions",
    Permission.SCORE_MODEL: "ask for predictions",
    Permission.REVOKE_VERSION: "revoke an approval",
    Permission.MANAGE_ACCESS: "grant others access to a model",
    Permission.BREAK_GLASS: "put a version live ahead of its review in an emergency, together with a second person",
    Permission.CREATE_MODEL: "create registered models",
    Permission.SEE_DATASETS: "see datasets and their profiles",
    Permission.EDIT_DATASETS: "register datasets, versions and recipes",
    Permission.RUN_TRAINING: "run training jobs",
    Permission.WRITE_POLICIES: "draft admission policies",
    Permission.PUBLISH_POLICIES: "publish admission policies",
    Permission.WRITE_ACCESS_POLICIES: "draft access policies",
    Permission.PUBLISH_ACCESS_POLICIES: "publish access policies that others wrote",
    Permission.SEE_AUDIT: "read and verify the audit log",
    Permission.ACKNOWLEDGE_LEDGER: "let promotion go on although the audit log does not verify, with a reason",
    Permission.SEE_MONITORING: "see drift and performance",
    Permission.MANAGE_DEPLOYMENTS: "create, pause and stop deployments",
    Permission.MANAGE_PEOPLE: "manage people, groups and roles",
    Permission.SEE_PEOPLE: "see people, groups and roles",
    Permission.MANAGE_TOKENS: "manage service accounts and their tokens",
    Permission.FEED_OUTCOMES: "feed back observed outcomes",
    Permission.MANAGE_WEBHOOKS: "have events sent to other systems",
    Permission.SEE_EXPERIMENTS: "read every experiment, whoever owns it",
    Permission.EDIT_EXPERIMENTS: "read and log to every experiment, whoever owns it",
}

OWNER_MAY: Final = frozenset(
    {
        Permission.SEE_MODEL,
        Permission.EDIT_MODEL,
        Permission.REGISTER_VERSION,
        Permission.SET_ALIAS,
        Permission.REQUEST_REVIEW,
        Permission.MANAGE_ACCESS,
    }
)
"""What the owner of a registered model may do with it without any role or grant."""

OWNER_GIVES: Final = OWNER_MAY - {Permission.MANAGE_ACCESS} | {Permission.PULL_VERSION, Permission.SCORE_MODEL}
"""What the owner of a registered model may give to others on it: who uses a model is for its owner to answer for."""

PEOPLE_ONLY: Final = frozenset(
    {
        Permission.PROMOTE_VERSION,
        Permission.REVOKE_VERSION,
        Permission.MANAGE_ACCESS,
        Permission.BREAK_GLASS,
        Permission.WRITE_POLICIES,
        Permission.PUBLISH_POLICIES,
        Permission.WRITE_ACCESS_POLICIES,
        Permission.PUBLISH_ACCESS_POLICIES,
        Permission.ACKNOWLEDGE_LEDGER,
        Permission.MANAGE_PEOPLE,
        Permission.MANAGE_TOKENS,
    }
)
"""What no service account may do, whatever it holds: otherwise an owner could decide twice, once by proxy."""

GRANTED_BY_ADMINISTRATORS: Final = frozenset(
    {Permission.PROMOTE_VERSION, Permission.REVOKE_VERSION, Permission.MANAGE_ACCESS, Permission.BREAK_GLASS}
)
"""What a model's owner cannot hand out: otherwise the owner could choose who releases the owner's work."""

SYSTEM: Final[dict[str, frozenset[Permission]]] = {
    "setup": frozenset({Permission.MANAGE_PEOPLE, Permission.MANAGE_TOKENS}),
    "operator": frozenset({Permission.MANAGE_PEOPLE, Permission.MANAGE_TOKENS}),
    "monitoring": frozenset({Permission.SEE_MONITORING}),
    "clock": frozenset({Permission.SEE_MODEL, Permission.REQUEST_REVIEW, Permission.PROMOTE_VERSION}),
}
"""What a part of the installation may do without a user; parts that are not named here may do nothing.

`setup` makes the first administrator and may do nothing once somebody manages people. `operator` is whoever runs `manage.py` on the
machine, and so could write to the database as well; going through the actions puts it on record. `monitoring` counts predictions on
a timer. `clock` carries out what time decides: a recertification is opened, an ended break-glass is rolled back, a retrained version
is promoted inside an envelope that people signed. None of them is reachable by a request.
"""
