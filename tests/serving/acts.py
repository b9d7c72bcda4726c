"""What the people of a story do, in a process of its own with the installation's database: `python -m tests.serving.acts`.

Reads one JSON list (an act and its arguments) per line and answers with one line of JSON. Every act calls the same actions as the
portal. `python -m tests.serving.acts work` performs queued jobs as a Celery worker would; `die` delivers webhooks and is killed on the way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - after setup
from django.core.management import call_command  # noqa: E402 - after setup
from django.utils import timezone  # noqa: E402 - after setup

from access.actions import revoke_token  # noqa: E402 - after setup
from access.models import ServiceToken, User  # noqa: E402 - after setup
from foundation.keys import create_key, create_model_signing_key  # noqa: E402 - after setup
from jobs.models import Job  # noqa: E402 - after setup
from jobs.work import perform  # noqa: E402 - after setup
from notices.models import Webhook  # noqa: E402 - after setup
from notices.webhooks import sending  # noqa: E402 - after setup
from notices.webhooks.delivery import deliver  # noqa: E402 - after setup
from registry import actions as registry_actions  # noqa: E402 - after setup
from registry.models import ModelVersion, RegisteredModel, Stage  # noqa: E402 - after setup
from registry.store import ArtifactStore  # noqa: E402 - after setup
from reviews.promotion import promote  # noqa: E402 - after setup
from serving.actions import create_deployment, pause_deployment, resume_deployment  # noqa: E402 - after setup
from serving.models import Deployment  # noqa: E402 - after setup
from tests.conftest import _person, as_, as_worker  # noqa: E402 - after setup
from tests.factories import store_files  # noqa: E402 - after setup
from tests.reviews.conftest import approve, ask  # noqa: E402 - after setup
from tests.reviews.evidence import CARD, evidence  # noqa: E402 - after setup
from tests.serving.conftest import service, withdraw_approval  # noqa: E402 - after setup
from tests.serving.tiny_models import tiny  # noqa: E402 - after setup


def who(username: str) -> User:
    return User.objects.get(username=username)


def version_of(number: str) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name="credit", number=number)


def act_setup() -> dict[str, str]:
    """Database, keys, the cast, the model `credit`, a deployment; returns tokens."""
    for folder in (settings.SECRETS_DIR, settings.STATIC_ROOT):
        Path(folder).mkdir(parents=True, exist_ok=True)
    create_key(settings.REGISTRY_KEY_FILE)
    create_model_signing_key(settings.MODEL_SIGNING_KEY_FILE)
    call_command("migrate", verbosity=0)
    erin = _person("erin", display_name="Erin Osei", role="Administrator")
    alice = _person("alice", display_name="Alice Moreau", role="Data scientist")
    _person("bob", display_name="Bob Lindqvist", role="Reviewer", group="Model validation")
    _person("carol", display_name="Carol Adeyemi", role="Reviewer", group="Risk officers")
    _person("rita", display_name="Rita Fernandes", role="Release manager")
    model = registry_actions.create_model("credit", tier=1, intended_use="Limits", owner=alice, by=as_(alice))
    create_deployment("credit-live", model=model, stage=Stage.objects.get(name="production"), by=as_(erin))
    roles = {
        "pull": "Service: pull",
        "score": "Service: score",
        "register": "Service: register",
        "webhooks": "Service: webhooks",
    }
    return {name: service(name, role, erin) for name, role in roles.items()}


def act_register() -> dict[str, int]:
    """Alice registers a real, tiny version, and it is admitted."""
    alice = as_(who("alice"))
    model = RegisteredModel.objects.get(name="credit")
    files = store_files(tiny(), ArtifactStore())
    version = registry_actions.register_version(model, files, by=alice, admit=False)
    return {"number": registry_actions.admit_version(version, by=alice).number}


def act_deployment() -> dict[str, Any]:
    found = Deployment.objects.get(name="credit-live")
    return {"state": found.state, "detail": found.detail, "version": found.version and found.version.number}


def act_revoke_token(secret: str) -> dict[str, Any]:
    revoke_token(ServiceToken.objects.get(prefix=secret.split("_")[1]), by=as_(who("erin")))
    return {}


def act_promote(number: str) -> dict[str, Any]:
    """Alice adds evidence and asks, bob and carol sign, rita promotes."""
    version, stage = version_of(number), Stage.objects.get(name="production")
    for kind, content in evidence().items():
        if kind != "signature":
            registry_actions.add_evidence(version, kind, content, by=as_worker(who("alice")))
    registry_actions.revise_card(version, CARD, by=as_(who("alice")))
    approve(ask(version, stage, who("alice")), who("bob"), who("carol"))
    holder = RegisteredModel.objects.get(name="credit").aliases.filter(stage=stage).first()
    promote(version, stage, expected_previous=holder.version.number if holder else None, by=as_(who("rita")))
    return {"digest": version.digest, "files": {file.path: file.sha256 for file in version.files}}


def act_revoke(number: str) -> dict[str, Any]:
    withdraw_approval(version_of(number), who("carol"))
    return {"at": time.time()}


def act_pause() -> dict[str, Any]:
    pause_deployment(Deployment.objects.get(name="credit-live"), reason="Complaints.", by=as_(who("erin")))
    return {}


def act_resume() -> dict[str, Any]:
    resume_deployment(Deployment.objects.get(name="credit-live"), reason="Answered.", by=as_(who("erin")))
    return {}


def act_deliver_webhooks(die: str = "") -> dict[str, Any]:
    """Deliver what is due as a worker would; with `die`, be killed when the receiver has answered and nothing is noted."""
    if die:
        sending._arrived = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    return {"arrived": deliver()}


def act_let_claims_run_out() -> dict[str, Any]:
    """As if `notices.webhooks.delivery.CLAIM` had passed since a worker took a webhook."""
    return {"claims": Webhook.objects.exclude(busy_until=None).update(busy_until=timezone.now())}


def act_work() -> dict[str, Any]:
    """Perform queued jobs until killed."""
    from config.celery import app

    app.autodiscover_tasks(force=True)
    while True:
        for uuid in Job.objects.filter(state=Job.State.QUEUED).values_list("uuid", flat=True):
            perform(uuid, worker="story")
        time.sleep(0.2)


def main() -> None:
    if sys.argv[1:] == ["work"]:
        act_work()
    if sys.argv[1:] == ["die"]:
        act_deliver_webhooks("die")
    for line in sys.stdin:
        act, *arguments = json.loads(line)
        try:
            answer = globals()[f"act_{act}"](*arguments)
        except Exception:  # noqa: BLE001 - the test shows it
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
