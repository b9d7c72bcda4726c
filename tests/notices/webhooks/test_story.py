"""MLflow's own client looks after webhooks on a live server, and a worker that is killed on the way repeats itself and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import RestException
from mlflow.webhooks.delivery import _generate_hmac_signature

from tests.notices.webhooks.receiver import Receiver, receiving
from tests.serving.installation import ROOT, Installation

pytestmark = [
    pytest.mark.story,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns about its own future

SECRET = "what the receiver knows"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("webhook-story"), COUNTERSIGN_WEBHOOK_NETWORKS="127.0.0.0/8")
    try:
        made.start_mlflow()
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as got:
        yield got


class Clients:
    """MLflow's client with one token or another."""

    def __init__(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installation, self.monkeypatch = installation, monkeypatch
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def be(self, name: str) -> MlflowClient:
        self.monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", self.installation.tokens[name])
        return MlflowClient(self.installation.mlflow, self.installation.mlflow)


@pytest.fixture
def clients(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Clients:
    return Clients(installation, monkeypatch)


@pytest.fixture
def webhook(clients: Clients, receiver: Receiver) -> Iterator[Any]:
    client = clients.be("webhooks")
    made = client.create_webhook(
        name="pipeline",
        url=receiver.url,
        events=["registered_model.created", WebhookEvent("model_version_alias", "created")],
        description="Rolls out",
        secret=SECRET,
    )
    yield made
    if any(one.webhook_id == made.webhook_id for one in clients.be("webhooks").list_webhooks()):
        clients.be("webhooks").delete_webhook(made.webhook_id)


def test_a_webhook_is_made_read_listed_changed_and_deleted(clients: Clients, webhook: Any, receiver: Receiver) -> None:
    client = clients.be("webhooks")

    assert client.get_webhook(webhook.webhook_id).url == receiver.url
    assert [one.name for one in client.list_webhooks()] == ["pipeline"]
    assert client.get_webhook(webhook.webhook_id).secret is None
    changed = client.update_webhook(
        webhook.webhook_id, description="Other", status=WebhookStatus.DISABLED, events=["model_version.created"]
    )
    assert (changed.description, changed.status) == ("Other", WebhookStatus.DISABLED)
    assert [str(one) for one in changed.events] == ["model_version.created"]
    assert changed.name == "pipeline"
    client.delete_webhook(webhook.webhook_id)
    assert list(client.list_webhooks()) == []
    with pytest.raises(RestException, match="no such webhook"):
        client.get_webhook(webhook.webhook_id)


def test_pages_lead_from_one_to_the_next(clients: Clients, webhook: Any, receiver: Receiver) -> None:
    client = clients.be("webhooks")
    second = client.create_webhook("second", receiver.url, ["registered_model.created"])

    first_page = client.list_webhooks(max_results=1)
    next_page = client.list_webhooks(max_results=1, page_token=first_page.token)

    client.delete_webhook(second.webhook_id)
    assert [one.name for one in [*first_page, *next_page]] == ["pipeline", "second"]
    assert not next_page.token


def test_a_test_is_sent_once_signed_and_answered(clients: Clients, webhook: Any, receiver: Receiver) -> None:
    receiver.answers = [200, 418]
    client = clients.be("webhooks")

    good, bad = (
        client.test_webhook(webhook.webhook_id),
        client.test_webhook(webhook.webhook_id, "model_version_alias.created"),
    )

    assert (good.success, good.response_status, good.response_body) == (True, 200, "ok")
    assert (bad.success, bad.response_status) == (False, 418)
    assert receiver.events() == ["registered_model.created", "model_version_alias.created"]
    headers, body = receiver.requests[0]
    moment = headers["X-MLflow-Timestamp"]
    assert headers["X-MLflow-Signature"] == _generate_hmac_signature(
        SECRET, headers["X-MLflow-Delivery-Id"], moment, body.decode()
    )


def test_an_event_of_another_client_leaves_once_and_by_the_worker_alone(
    clients: Clients, webhook: Any, receiver: Receiver, installation: Installation
) -> None:
    clients.be("register").create_registered_model("churn", tags={"k": "v"}, description="Who leaves")

    assert receiver.requests == []
    assert installation.act("deliver_webhooks") == {"arrived": 1}

    (body,) = receiver.bodies()
    assert body["data"] == {"name": "churn", "tags": {"k": "v"}, "description": "Who leaves"}


@pytest.mark.parametrize(
    "url", ["http://receiver.example/", "https://169.254.169.254/", "https://u:p@receiver.example/"]
)
def test_an_address_that_is_not_allowed_is_refused_and_not_repeated(clients: Clients, url: str) -> None:
    with pytest.raises(RestException) as refused:
        clients.be("webhooks").create_webhook("other", url, ["registered_model.created"])

    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert "An address that events are sent to" in str(refused.value)


def test_events_of_prompts_are_refused_since_they_never_happen(clients: Clients, receiver: Receiver) -> None:
    with pytest.raises(RestException, match=r"no event called prompt\.created"):
        clients.be("webhooks").create_webhook("other", receiver.url, ["prompt.created"])


def test_who_does_not_look_after_webhooks_is_refused(clients: Clients, webhook: Any) -> None:
    client = clients.be("register")

    for attempt in (
        client.list_webhooks,
        lambda: client.get_webhook(webhook.webhook_id),
        lambda: client.test_webhook(webhook.webhook_id),
        lambda: client.create_webhook("mine", "https://receiver.example/", ["registered_model.created"]),
    ):
        with pytest.raises(RestException) as refused:
            attempt()
        assert refused.value.error_code == "PERMISSION_DENIED"


def test_a_worker_that_is_killed_after_the_answer_sends_it_again_under_the_same_id(
    clients: Clients, webhook: Any, receiver: Receiver, installation: Installation
) -> None:
    clients.be("register").create_registered_model("fraud")

    killed = subprocess.run(
        [sys.executable, "-m", "tests.serving.acts", "die"], cwd=ROOT, env=installation.environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert installation.act("deliver_webhooks") == {"arrived": 0}  # its claim has not run out
    installation.act("let_claims_run_out")
    assert installation.act("deliver_webhooks") == {"arrived": 1}
    assert installation.act("deliver_webhooks") == {"arrived": 0}

    assert len(receiver.requests) == 2
    assert len({(headers["X-MLflow-Delivery-Id"], body) for headers, body in receiver.requests}) == 1
