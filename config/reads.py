"""Decides which addresses show something whose reading is put on record, as which action and of what.

One line for all addresses below a beginning, so that a page added tomorrow under a version is on record without anybody thinking of it.
Every other address has its reason in `NOT_READS`; a test fails on one that has neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from audit.events import Action, Obj

LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Read:
    """What somebody reads at an address: `kind` of thing; `id`, `name` and `version` are the names of the address's arguments."""

    action: Action
    kind: str
    id: str = ""
    name: str = ""
    version: str = ""

    def obj(self, arguments: Mapping[str, object]) -> Obj:
        """The thing, as the address names it."""
        identifier, name, version = (
            str(arguments.get(one, ""))[:LONGEST] for one in (self.id, self.name, self.version)
        )
        return Obj(self.kind, identifier, name, version)


def _of_version(action: Action, kind: str = "version", identifier: str = "") -> Read:
    return Read(action, kind, identifier, "name", "number")


_VERSION: Final = "models/<str:name>/v/<int:number>/"
_API_VERSION: Final = "api/v1/models/<str:name>/versions/<int:number>/"

READS: Final[Mapping[str, Read]] = {
    "access-policies/<slug:name>/": Read(Action.ACCESS_POLICY_VIEW, "access_policy", name="name", version="number"),
    "admin/": Read(Action.ADMIN_VIEW, "admin", "object_id"),
    "audit/": Read(Action.LEDGER_VIEW, "ledger"),
    "break-glass/<uuid:uuid>/": Read(Action.BREAK_GLASS_VIEW, "break_glass", "uuid"),
    "datasets/<slug:name>/": Read(Action.DATASET_VIEW, "dataset", name="name"),
    "experiments/<int:number>/": Read(Action.EXPERIMENT_VIEW, "experiment", "number"),
    "findings/<uuid:uuid>/": Read(Action.FINDING_VIEW, "finding", "uuid"),
    "findings/export/": Read(Action.FINDING_EXPORT, "finding"),
    "models/<str:name>/": Read(Action.MODEL_VIEW, "model", name="name"),
    _VERSION: _of_version(Action.VERSION_VIEW),
    _VERSION + "card/": _of_version(Action.CARD_VIEW),
    _VERSION + "certificate": _of_version(Action.CERTIFICATE_VIEW),
    _VERSION + "evidence/<int:pk>/": _of_version(Action.EVIDENCE_VIEW, "evidence", "pk"),
    "^models/(?P<name>[^/]+)/v/(?P<number>[0-9]{1,9})/sign-offs/": _of_version(
        Action.SIGN_OFF_EXPORT, "sign_off", "digest"
    ),
    "^monitoring/(?P<name>": Read(Action.DEPLOYMENT_EXPORT, "deployment", name="name"),
    "people/<uuid:uuid>/": Read(Action.PERSON_VIEW, "person", "uuid"),
    "policies/<slug:name>/": Read(Action.POLICY_VIEW, "policy_version", name="name", version="number"),
    "policies/<slug:name>/v/<int:number>/export.json": Read(
        Action.POLICY_EXPORT, "policy_version", name="name", version="number"
    ),
    "policies/<slug:name>/v/<int:number>/rehearsal.csv": Read(
        Action.POLICY_EXPORT, "policy_version", name="name", version="number"
    ),
    "reports/": Read(Action.REPORT_VIEW, "report"),
    "^reports/": Read(Action.REPORT_EXPORT, "report", name="what"),
    "service-accounts/<uuid:uuid>/": Read(Action.PERSON_VIEW, "service", "uuid"),
    "webhooks/<uuid:uuid>/": Read(Action.WEBHOOK_VIEW, "webhook", "uuid"),
    "api/v1/audit/": Read(Action.LEDGER_VIEW, "ledger"),
    "api/v1/audit/entries/<int:seq>/": Read(Action.LEDGER_VIEW, "ledger", "seq"),
    "api/v1/datasets/<slug:name>/": Read(Action.DATASET_VIEW, "dataset", name="name"),
    "api/v1/experiments/<int:number>": Read(Action.EXPERIMENT_VIEW, "experiment", "number"),
    "api/v1/findings/<uuid:uuid>/": Read(Action.FINDING_VIEW, "finding", "uuid"),
    "api/v1/models/<str:name>/": Read(Action.MODEL_VIEW, "model", name="name"),
    _API_VERSION: _of_version(Action.VERSION_VIEW),
    _API_VERSION + "card/": _of_version(Action.CARD_VIEW),
    _API_VERSION + "evidence/": _of_version(Action.EVIDENCE_VIEW, "evidence", "pk"),
    "api/v1/people/<uuid:uuid>/": Read(Action.PERSON_VIEW, "person", "uuid"),
    "api/v1/policies/<slug:name>/<int:number>/": Read(
        Action.POLICY_VIEW, "policy_version", name="name", version="number"
    ),
    "api/v1/receipts/": Read(Action.LEDGER_VIEW, "ledger", "n", "writer"),
    "api/v1/reviews/<uuid:uuid>/": Read(Action.REVIEW_VIEW, "review", "uuid"),
    "api/v1/webhooks/<uuid:uuid>/": Read(Action.WEBHOOK_VIEW, "webhook", "uuid"),
}
"""By the beginning of the address's pattern; the longest one counts."""

_LIST: Final = "a list or one's own desk; what is opened from it is on record"
_OWN: Final = "one's own account and messages"
_PUBLIC: Final = "the same for everybody; says nothing of a model or a person"
_PULL: Final = "a pull: on record when it begins and when it ends, by serving.pulls"
_DEED: Final = "only takes what is sent, which its action records"
_STATE: Final = "asked again every few seconds; says how far the work is"

NOT_READS: Final[Mapping[str, str]] = {
    "": _LIST,
    "access-policies/": _LIST,
    "accounts/": "signing in and out and second factors are on record by access.adapter and access.receivers",
    "admin/jsi18n/": _PUBLIC,
    "api/docs/": _PUBLIC,
    "api/schema/": _PUBLIC,
    "comments/": _DEED,
    "datasets/": _LIST,
    "deployments/": _STATE,
    "envelopes/": _DEED,
    "experiments/": _LIST,
    "findings/": _LIST,
    "groups/": _LIST,
    "healthz": _PUBLIC,
    "me/": _OWN,
    "metrics": _PUBLIC,
    "models/": _LIST,
    "monitoring/": _STATE,
    "notifications/": _OWN,
    "people/": _LIST,
    "policies/": _LIST,
    "policies/packs/": _PUBLIC,
    "readyz": _PUBLIC,
    "roles/": _LIST,
    "search/": "a search is on record with what was asked, by config.search",
    "service-accounts/": _LIST,
    "theme/": _OWN,
    "threads/": _DEED,
    "training/": _STATE,
    "verify/": _PUBLIC,
    "webhooks/": _LIST,
    "api/v1/as-of": "the question is on record with what was asked, by reports",
    "api/v1/audit/entries/": "where there are entries they are on record as an export, by audit.api; asking again for none is not",
    "api/v1/audit/bundle.tar": "that the ledger was taken away is on record as an export, by audit.bundle",
    "api/v1/break-glass/": _DEED,
    "api/v1/comments/": _DEED,
    "api/v1/datasets/": _LIST,
    "api/v1/delegations/": _LIST,
    "api/v1/envelopes/": _DEED,
    "api/v1/experiments": _LIST,
    "api/v1/exceptions/": _DEED,
    "api/v1/findings/": _LIST,
    "api/v1/ledger/": _PUBLIC,
    "api/v1/me/": _OWN,
    "api/v1/models/": _LIST,
    _API_VERSION + "blobs/": _PULL,
    _API_VERSION + "download": _PULL,
    _API_VERSION + "files/": _PULL,
    "api/v1/monitoring": _STATE,
    "api/v1/notifications/": _OWN,
    "api/v1/people/": _LIST,
    "api/v1/policies/": _LIST,
    "api/v1/reviews/": _LIST,
    "api/v1/service-accounts/": _LIST,
    "api/v1/serving/": _STATE,
    "api/v1/sign-offs/": _DEED,
    "api/v1/threads/": _DEED,
    "api/v1/tokens/": _DEED,
    "api/v1/training/": _STATE,
    "api/v1/webhooks/": _LIST,
    "api/v1/watch": "a watch is on record when it is told something, by serving.watching",
}
"""Why opening the addresses with these beginnings is not on record, where no longer beginning says otherwise."""

REFUSED_AS: Final[Mapping[str, Action]] = {
    "api/v1/serving/authorize": Action.MODEL_SCORE,
    "api/v1/watch": Action.VERSION_WATCH,
}
"""What a refusal is called at addresses that are asked whether something may be done."""

_BEGINNINGS: Final = sorted((*READS, *NOT_READS), key=len, reverse=True)


def beginning_of(route: str) -> str | None:
    """The longest beginning that speaks for an address; "" only for the front page."""
    return next((one for one in _BEGINNINGS if (route.startswith(one) if one else not route)), None)


def read_at(route: str) -> Read | None:
    """What is read at an address with this pattern, or None where nothing is."""
    return READS.get(beginning_of(route) or "")
