"""MLflow's pages behind the portal's session: which addresses there are, which page may ask, and what of GraphQL is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from pytest_django import Settings

from access.models import User
from foundation.refusals import Forbidden, Invalid, NotFound, Refusal, Unauthenticated
from serving import mlflow_ui
from serving.caller import set_caller
from serving.tracking_actions import Known, record_experiment
from serving.wire import Gate
from serving.wire_rules import Needs
from tests.conftest import as_
from tests.serving.quiet import GovernedStore  # noqa: F401 - imported quietly, before what needs it

API = "/ajax-api/2.0/mlflow"


@pytest.fixture
def pages(settings: Settings) -> Settings:
    settings.PORTAL_URL, settings.MLFLOW_URL = "http://localhost:8000", "http://localhost:5000"
    return settings


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/", Needs.CREDENTIAL),
        ("GET", "/static-files/static/js/main.js", Needs.NOTHING),
        ("POST", f"{API}/runs/search", Needs.READ_RUNS),
        ("POST", f"{API}/runs/set-tag", Needs.WRITE_RUNS),
        ("POST", f"{API}/experiments/create", Needs.WRITE_RUNS),
        ("GET", f"{API}/metrics/get-history-bulk-interval", Needs.READ_RUNS),
        ("POST", "/graphql", Needs.READ_RUNS),
        ("GET", "/get-artifact", Needs.READ_FILES),
        ("GET", f"{API}/artifacts/list", Needs.READ_FILES),
        ("GET", f"{API}/registered-models/search", Needs.CREDENTIAL),
        ("GET", f"{API}/model-versions/search", Needs.CREDENTIAL),
        # what goes live is decided on the portal
        ("POST", f"{API}/registered-models/alias", None),
        ("DELETE", f"{API}/registered-models/alias", None),
        ("POST", f"{API}/model-versions/transition-stage", None),
        ("POST", f"{API}/model-versions/create", None),
        ("PATCH", f"{API}/model-versions/update", None),
        ("DELETE", f"{API}/registered-models/delete", None),
        ("GET", f"{API}/webhooks", None),
        ("GET", "/model-versions/get-artifact", None),
        # doors of MLflow's that lead elsewhere
        ("POST", f"{API}/gateway-proxy", None),
        ("POST", f"{API}/upload-artifact", None),
        ("POST", f"{API}/runs/create-promptlab-run", None),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message", None),
        ("POST", "/ajax-api/3.0/mlflow/scorer/invoke", None),
        ("POST", "/ajax-api/3.0/mlflow/ui-telemetry", None),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/1/x", None),
        ("GET", "/graphql", None),
        ("POST", "/api/2.0/mlflow/runs/search", None),
        ("GET", "/health", None),
        ("POST", "/v1/traces", None),
    ],
)
def test_the_pages_have_these_addresses_and_no_others(method: str, path: str, needed: Needs | None) -> None:
    assert mlflow_ui.page_needs(method, path) is needed


HERE = {"host": "localhost:5000"}


@pytest.mark.parametrize(
    ("method", "headers", "admitted"),
    [
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://localhost:5000"}, True),
        ("GET", {"sec-fetch-site": "same-origin"}, True),
        ("GET", {"sec-fetch-site": "none"}, True),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("GET", {"sec-fetch-site": "same-site"}, False),  # another port of this machine, the portal's too
        ("POST", {"sec-fetch-site": "same-site", "origin": "http://localhost:8000"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("POST", {"origin": "http://localhost:5000"}, True),
        ("POST", {"origin": "http://localhost:8888"}, False),
        ("POST", {"origin": "http://localhost:8000"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {}, False),
        ("DELETE", {}, False),
        ("GET", {"origin": "http://localhost:3000"}, False),
    ],
)
def test_only_the_pages_themselves_ask(pages: Settings, method: str, headers: dict[str, str], admitted: bool) -> None:
    def asked() -> None:
        mlflow_ui.check_came_from_here(method, f"{API}/runs/search", HERE | headers)

    if admitted:
        asked()
    else:
        with pytest.raises(Forbidden, match="own pages"):
            asked()


def test_behind_one_origin_the_portal_s_pages_are_the_same_origin(settings: Settings) -> None:
    settings.PORTAL_URL = settings.MLFLOW_URL = "https://models.example.org"

    mlflow_ui.check_came_from_here(
        "POST", f"{API}/runs/search", {"host": "models.example.org", "origin": "https://models.example.org"}
    )
    with pytest.raises(Forbidden):
        mlflow_ui.check_came_from_here(
            "POST", f"{API}/runs/search", {"host": "evil.example", "origin": "https://evil.example"}
        )


def wire(method: str, path: str, cookie: str = "", **headers: str) -> tuple[int, dict[str, str], list[str]]:
    """What the wire answers under /mlflow: status, headers, and what of the request MLflow's server was asked."""
    messages: list[Any] = []
    inside: list[str] = []
    given = (
        HERE
        | ({"cookie": cookie} if cookie else {})
        | {name.replace("_", "-"): value for name, value in headers.items()}
    )
    scope = {
        "type": "http",
        "method": method,
        "path": f"/mlflow{path}",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 4711),
    }

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        inside.extend([scope["path"], *(name.decode() for name, _ in scope["headers"])])
        allowing = [(b"access-control-allow-origin", b"*"), (b"x-frame-options", b"SAMEORIGIN")]
        await send({"type": "http.response.start", "status": 200, "headers": allowing})
        await send({"type": "http.response.body", "body": b""})

    asyncio.run(Gate(inner)(scope, receive, send))
    said = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], said, inside


@pytest.mark.django_db(transaction=True)
class TestSession:
    """The portal's cookie opens the pages, and nothing else does."""

    def cookie(self, person: User) -> str:
        browser = Client()
        browser.force_login(person)
        return f"{django_settings.SESSION_COOKIE_NAME}={browser.cookies[django_settings.SESSION_COOKIE_NAME].value}"

    def test_without_one_the_browser_is_sent_to_the_portal(self, pages: Settings) -> None:
        status, said, inside = wire("GET", "/")

        assert (status, inside) == (307, [])
        assert said["location"] == "http://localhost:8000/accounts/login/?next=/experiments/"
        assert wire("GET", "")[1]["location"] == "/mlflow/"
        assert wire("GET", f"{API}/experiments/search", sec_fetch_site="same-origin")[0] == 401

    def test_with_it_mlflow_answers_under_our_policy(self, pages: Settings, alice: User) -> None:
        status, said, inside = wire("GET", "/", self.cookie(alice))

        assert (status, inside[0]) == (200, "/")
        assert "default-src 'none'" in said["content-security-policy"]
        assert said["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in said, "no other origin reads what the cookie opens"

    def test_the_origin_was_judged_and_goes_no_further(self, pages: Settings, alice: User) -> None:
        _, _, inside = wire(
            "POST",
            f"{API}/runs/search",
            self.cookie(alice),
            origin="http://localhost:5000",
            sec_fetch_site="same-origin",
        )

        assert inside[0] == f"{API}/runs/search"
        assert "origin" not in inside

    def test_another_page_with_the_browser_s_cookie_is_refused(self, pages: Settings, alice: User) -> None:
        cookie = self.cookie(alice)

        for method, path in (("POST", f"{API}/runs/set-tag"), ("GET", f"{API}/experiments/search")):
            status, _, inside = wire(method, path, cookie, origin="http://localhost:3000", sec_fetch_site="same-site")
            assert (status, inside) == (403, [])

    def test_an_alias_is_not_set_by_cookie(self, pages: Settings, rita: User) -> None:
        for method, path in (("POST", "registered-models/alias"), ("POST", "model-versions/transition-stage")):
            status, _, inside = wire(method, f"{API}/{path}", self.cookie(rita), sec_fetch_site="same-origin")
            assert (status, inside) == (404, [])

    def test_the_cookie_opens_no_address_of_the_api(self, pages: Settings, alice: User) -> None:
        status, _, inside = wire(
            "GET", "/../api/2.0/mlflow/experiments/search", self.cookie(alice), sec_fetch_site="none"
        )

        assert (status, inside) == (404, [])

    def test_a_token_does_not_open_the_pages(self, pages: Settings, scorer_token: str) -> None:
        status, _, inside = wire("GET", f"{API}/experiments/search", authorization=f"Bearer {scorer_token}")

        assert (status, inside) == (401, [])

    def test_a_deactivated_person_s_session_opens_nothing(self, pages: Settings, alice: User) -> None:
        cookie = self.cookie(alice)
        User.objects.filter(pk=alice.pk).update(is_active=False)

        assert wire("GET", f"{API}/experiments/search", cookie, sec_fetch_site="same-origin")[0] == 401


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("query Q($i: MlflowGetRunInput!) { mlflowGetRun(input: $i) { run { info { runName } } } }", None),
        ("query { mlflowSearchRuns(input: {}) { runs { info { runId } } } }", None),
        ("query { mlflowListArtifacts(input: {}) { files { path } } }", Forbidden),
        ("query { other: mlflowListArtifacts(input: {}) { files { path } } }", Forbidden),
        (
            "query { ...hidden } fragment hidden on Query { mlflowListArtifacts(input: {}) { files { path } } }",
            Forbidden,
        ),
        ("query { ... on Query { mlflowListArtifacts(input: {}) { files { path } } } }", Forbidden),
        ("query { __schema { types { name } } }", Forbidden),
        ('mutation { testMutation(inputString: "x") { output } }', Forbidden),
        ("query {", Invalid),
        ("query { " + "mlflowGetRun " * 3_000 + "}", Invalid),
        (None, Invalid),
    ],
)
def test_of_graphql_only_what_the_pages_ask(query: str | None, refusal: type[Refusal] | None) -> None:
    from serving.mlflow_ui_asks import _check_query

    if refusal is None:
        _check_query({"query": query})
    else:
        with pytest.raises(refusal):
            _check_query({"query": query})


@pytest.mark.django_db
def test_files_are_shown_from_our_artifact_store_only(alice: User, bob: User) -> None:
    from serving.mlflow_ui_asks import _check_location

    record_experiment(Known(7, "limits", "7"), by=as_(alice))
    set_caller(as_(alice))
    _check_location("mlflow-artifacts:/7/run/artifacts")
    elsewhere = (
        "file:///etc", "/etc", "s3://bucket/7", "http://169.254.169.254/7", "mlflow-artifacts://evil:5000/7", "mlflow-artifacts:/",
        "mlflow-artifacts:/8/run/artifacts", "", None,
    )  # fmt: skip

    for location in elsewhere:
        with pytest.raises(NotFound):
            _check_location(location)


def test_who_is_not_signed_in_is_told_where(pages: Settings, db: None) -> None:
    with pytest.raises(Unauthenticated, match="localhost:8000"):
        mlflow_ui.session_of({"cookie": "sessionid=unheard"}, {"REMOTE_ADDR": "127.0.0.1"})
