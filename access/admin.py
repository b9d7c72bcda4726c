"""The Django admin as a window: people, groups, roles and tokens can be read there in an emergency, and nothing can be written.

Writes go through actions, which ask for permission and append to the ledger. Logging in, logging out and changing one's password
go through allauth, which counts failures and asks for a second factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from access.models import Reauthentication, Role, RoleAssignment, ServiceToken, User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # Django's class takes no parameters at run time


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows and refuses every write, a superuser's included."""

    actions = None
    hidden: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def get_exclude(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Digests of secrets are not for looking at either."""
        return self.hidden


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People and service accounts."""

    list_display = ("username", "display_name", "kind", "is_active", "owner", "last_login")
    list_filter = ("kind", "is_active", "groups")
    search_fields = ("username", "display_name")
    hidden = ("password",)


@admin.register(Role)
class RoleAdmin(ReadOnlyAdmin):
    """Roles."""

    list_display = ("name", "description", "built_in")


@admin.register(RoleAssignment)
class RoleAssignmentAdmin(ReadOnlyAdmin):
    """Who holds which role."""

    list_display = ("role", "user", "group", "created_at", "created_by")
    list_filter = ("role",)


@admin.register(ServiceToken)
class ServiceTokenAdmin(ReadOnlyAdmin):
    """Tokens without what could identify their secret."""

    list_display = ("prefix", "name", "user", "expires_at", "last_used_at", "revoked_at")
    hidden = ("digest",)


@admin.register(Reauthentication)
class ReauthenticationAdmin(ReadOnlyAdmin):
    """When people confirmed who they are."""

    list_display = ("user", "method", "at", "consumed_at")


class GroupAdmin(ReadOnlyAdmin):
    """Groups, whose members sign; Django's own page for them could change the members."""

    search_fields = ("name",)


def _through_allauth(address: str) -> Any:
    def go(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect(address)

    return go


admin.site.unregister(Group)
admin.site.register(Group, GroupAdmin)
# An address or an authenticator that somebody else can edit is a way into the account.
for _model in (EmailAddress, EmailConfirmation, Authenticator):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # as allauth documents it
admin.site.logout = _through_allauth("account_logout")  # type: ignore[method-assign]  # as above
admin.site.password_change = _through_allauth("account_change_password")  # type: ignore[method-assign]  # as above
