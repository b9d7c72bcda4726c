"""What the two pages that people open all day cost: statements and server CPU for each request, on SQLite.

`.venv/bin/python benchmarks/review_page.py` builds a registry of its own in a temporary folder: a review with 40 pieces of evidence
and 200 comments, and a reviewer with 500 open reviews. CPU is process time, the median of 30 requests after two to warm up.
Budgets: 25 statements and 60 ms for the review page, 10 statements for the inbox; it ends with 1 where one is exceeded.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tests.environment  # noqa: F401 - sets a temporary installation up before Django's settings are read

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
import django

django.setup()

from django.conf import settings  # noqa: E402 - Django has to be set up first
from django.db import connection  # noqa: E402 - as above
from django.test import Client  # noqa: E402 - as above
from django.test.utils import override_settings  # noqa: E402 - as above

from access import actions as access  # noqa: E402 - as above
from access.models import Role, User  # noqa: E402 - as above
from access.principal import Principal  # noqa: E402 - as above
from foundation.keys import create_key  # noqa: E402 - as above

ROUNDS = 30
PASSWORD = "correct horse battery"  # noqa: S105 - of people who exist in a temporary folder
PEOPLE = (
    ("alice", "Alice Moreau", "Data scientist", ""),
    ("bob", "Bob Lindqvist", "Reviewer", "Model validation"),
    ("carol", "Carol Adeyemi", "Reviewer", "Risk officers"),
    ("rita", "Rita Fernandes", "Release manager", ""),
)


def main() -> int:
    """Measure both pages and print one line for each."""
    for folder in (settings.SECRETS_DIR, settings.STATIC_ROOT):
        folder.mkdir(parents=True, exist_ok=True)
    create_key(settings.REGISTRY_KEY_FILE)
    create_key(settings.AUDIT_LOG_KEY_FILE)
    connection.creation.create_test_db(verbosity=0)
    plain = {
        "default": settings.STORAGES["default"],
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    hasher = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(STORAGES=plain, PASSWORD_HASHERS=hasher, AUDIT_WAIT_SECONDS=0.0, ALLOWED_HOSTS=["*"]):
        return _measure_all()


def _measure_all() -> int:
    from tests.reviews.populated import busy_review, many_reviews

    people = {name: _person(name, *rest) for name, *rest in PEOPLE}
    review = busy_review(author=people["alice"], validator=people["bob"], risk=people["carol"], promoter=people["rita"])
    page = _measure("review page", people["bob"], f"/models/busy/v/{review.version.number}/", 25, 60.0)
    many_reviews(author=people["alice"], like=review.version, number=500)
    inbox = _measure("inbox", people["bob"], "/", 10, None)
    return int(not (page and inbox))


def _person(username: str, display_name: str, role: str, group: str) -> User:
    from django.contrib.auth.models import Group

    operator = Principal.system("operator")
    email = f"{username}@example.org"
    user = access.create_person(username, display_name=display_name, email=email, password=PASSWORD, by=operator)
    access.assign_role(Role.objects.get(name=role), to=user, by=operator)
    if group:
        access.add_to_group(Group.objects.get(name=group), user, by=operator)
    return user


def _measure(title: str, reader: User, path: str, most_statements: int, most_ms: float | None) -> bool:
    browser = Client()
    browser.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
    statements: list[str] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    browser.get(path)  # what a process keeps for some seconds, such as the state of the ledger, it has asked for
    with connection.execute_wrapper(count):
        answer = browser.get(path)
    if answer.status_code != 200:
        raise SystemExit(f"{path} answered {answer.status_code}")
    gc.collect()
    gc.freeze()  # what built the registry (scikit-learn, MLflow) is in no portal's process and would be walked by its collector
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        browser.get(path)
        times.append(1000 * (time.process_time() - begun))
    median = statistics.median(times)
    size = len(answer.content) / 1024
    print(  # noqa: T201 - its purpose
        f"{title}: {len(statements)} statements, {median:.1f} ms CPU (median of {ROUNDS}), {size:.0f} KB"
    )
    return len(statements) <= most_statements and (most_ms is None or median <= most_ms)


if __name__ == "__main__":
    sys.exit(main())
