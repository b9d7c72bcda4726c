"""Where each kind of thing in the ledger is shown: the one table that joins entries of the audit log with the rooms' pages."""

from __future__ import annotations

from typing import Final

from django.urls import reverse

from audit.events import Obj
from audit.places import leads, page
from datasets.models import Recipe
from registry.models import Evidence

OF_A_VERSION: Final = (
    "version", "review", "round", "sign_off", "approval", "revocation", "thread", "comment", "exception", "lapse", "escalation",
)  # fmt: skip
OF_A_MODEL: Final = ("model", "promotion")
OF_A_POLICY: Final = ("policy_version", "policy_signature", "policy_rehearsal")
OF_A_DATASET: Final = ("dataset", "dataset_version")
OF_MONITORING: Final = ("thresholds", "window", "alert")


def _evidence(obj: Obj) -> str:
    found = Evidence.objects.select_related("version__model").filter(pk=int(obj.id)).first()
    if found is None:
        return ""
    version = found.version
    return reverse("registry:evidence", args=[version.model.name, version.number, found.pk])


def _recipe(obj: Obj) -> str:
    found = Recipe.objects.select_related("dataset").filter(pk=int(obj.id)).first()
    return "" if found is None else reverse("datasets:recipe", args=[found.dataset.name, found.name, found.number])


def join() -> None:
    """Tell the ledger's pages; called once, when the rooms are ready."""
    for kind in OF_A_VERSION:
        leads(kind, page("reviews:version", name="name", number="version"))
    for kind in OF_A_MODEL:
        leads(kind, page("reviews:model", name="name"))
    for kind in OF_A_POLICY:
        leads(kind, page("reviews:policy", name="name", number="version"))
    for kind in OF_A_DATASET:
        leads(kind, page("datasets:detail", name="name"))
    for kind in OF_MONITORING:
        leads(kind, page("monitoring:detail", name="name"))
    for kind in ("person", "service"):
        leads(kind, page("audit:activity", actor="id"))
    for kind in ("envelope", "envelope_signature"):
        leads(kind, page("reviews:envelope", name="name"))
    leads("evidence", _evidence)
    leads("recipe", _recipe)
    leads("finding", page("reviews:finding", uuid="id"))
    leads("break_glass", page("reviews:break-glass", uuid="id"))
    leads("delegation", page("reviews:delegations"))
    leads("deployment", page("serving:deployment", name="name"))
    leads("experiment", page("serving:experiment", number="id"))
    leads("training", page("training:detail", uuid="id"))
    leads("role", page("access:roles"))
    leads("access_policy", page("access_policies:policy", name="name", number="version"))
    leads("ledger", page("audit:log"))
    leads("notification", page("notices:list"))
