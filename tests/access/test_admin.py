"""The Django admin shows and changes nothing, and is no way around the login page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory

from access import actions
from access.models import Role, RoleAssignment, ServiceToken, User
from access.permissions import Permission
from tests.conftest import PASSWORD, as_

pytestmark = pytest.mark.django_db
OURS = ("access", "auth", "account", "mfa", "axes", "guardian")


def test_a_superuser_writes_nothing_about_access(root: User, rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = root

    for model, shown in admin.site._registry.items():
        if model._meta.app_label in OURS:
            assert not shown.has_add_permission(request), model
            assert not shown.has_change_permission(request), model
            assert not shown.has_delete_permission(request), model
            assert not shown.get_actions(request), model


@pytest.mark.parametrize("label", ["account.emailaddress", "mfa.authenticator", "axes.accessattempt"])
def test_what_could_open_somebodys_account_is_not_even_shown(label: str) -> None:
    assert label not in {model._meta.label_lower for model in admin.site._registry}


@pytest.mark.parametrize(
    "path",
    [
        "access/user/",
        "access/user/{bob}/change/",
        "access/role/",
        "access/roleassignment/",
        "access/servicetoken/",
        "access/servicetoken/{token}/change/",
        "access/reauthentication/",
        "auth/group/",
        "auth/group/{group}/change/",
    ],
)
def test_pages_are_readable_and_show_no_secret(
    path: str, root: User, bob: User, scorer: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    issued = actions.issue_token(
        scorer, name="batch", scopes=[Permission.PULL_VERSION], models=[], days=3, by=as_(erin)
    )
    group = Group.objects.get(name="Risk officers")

    answer = client_for(root).get(f"/admin/{path.format(bob=bob.pk, token=issued.token.pk, group=group.pk)}")

    assert answer.status_code == 200
    assert issued.token.digest not in answer.content.decode()
    assert bob.password not in answer.content.decode()


def test_posting_to_the_admin_changes_nothing(root: User, bob: User, client_for: Callable[[User], Client]) -> None:
    client, group = client_for(root), Group.objects.get(name="Risk officers")
    before = (User.objects.count(), RoleAssignment.objects.count(), ServiceToken.objects.count(), Role.objects.count())
    attempts = {
        f"access/user/{bob.pk}/change/": {
            "username": "bob",
            "is_superuser": "on",
            "is_staff": "on",
            "groups": [group.pk],
        },
        f"access/user/{bob.pk}/delete/": {"post": "yes"},
        f"access/user/{bob.pk}/password/": {"password1": "x" * 12, "password2": "x" * 12},
        "access/user/add/": {"username": "x", "password": "x"},
        "access/roleassignment/add/": {"role": Role.objects.get(name="Release manager").pk, "user": bob.pk},
        f"auth/group/{group.pk}/change/": {"name": "Risk officers", "user_set": [bob.pk]},
        "access/user/": {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"},
    }

    for path, fields in attempts.items():
        client.post(f"/admin/{path}", fields)

    fresh = User.objects.get(pk=bob.pk)
    assert (fresh.is_superuser, fresh.is_staff) == (False, False)
    assert fresh.check_password(PASSWORD)
    assert not fresh.groups.filter(pk=group.pk).exists()
    after = (User.objects.count(), RoleAssignment.objects.count(), ServiceToken.objects.count(), Role.objects.count())
    assert after == before


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("", "/accounts/login/"),
        ("login/", "/accounts/login/"),
        ("logout/", "/accounts/logout/"),
        ("password_change/", "/accounts/"),
    ],
)
def test_the_admin_has_no_login_logout_or_password_page_of_its_own(
    path: str, leads_to: str, root: User, client: Client, client_for: Callable[[User], Client]
) -> None:
    browser = client_for(root) if path in {"logout/", "password_change/"} else client

    answer = browser.get(f"/admin/{path}", follow=True)

    assert any(url.startswith(leads_to) for url, _ in answer.redirect_chain)


def test_a_password_posted_to_the_admins_login_page_starts_no_session(root: User, client: Client) -> None:
    client.post("/admin/login/", {"username": "root", "password": PASSWORD})

    assert "_auth_user_id" not in client.session


def test_staff_only(erin: User, client_for: Callable[[User], Client]) -> None:
    assert client_for(erin).get("/admin/access/user/").status_code in {302, 403}
