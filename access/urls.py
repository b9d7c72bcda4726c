"""Addresses of the portal's pages about people, roles and service accounts."""

from __future__ import annotations

from django.urls import path

from access import account_views, group_views, role_views, views

app_name = "access"

urlpatterns = [
    path("people/", views.people, name="people"),
    path("people/new/", views.new_person, name="new-person"),
    path("people/<uuid:uuid>/", views.person, name="person"),
    path("people/<uuid:uuid>/roles/", views.change_role, name="person-roles"),
    path("people/<uuid:uuid>/groups/", views.change_group, name="person-groups"),
    path("people/<uuid:uuid>/active/", views.change_active, name="person-active"),
    path("people/<uuid:uuid>/sessions/", views.person_sessions, name="person-sessions"),
    path("roles/", role_views.matrix, name="roles"),
    path("roles/new/", role_views.new_role, name="new-role"),
    path("roles/<int:pk>/", role_views.role, name="role"),
    path("roles/<int:pk>/edit/", role_views.edit_role, name="edit-role"),
    path("roles/<int:pk>/delete/", role_views.delete_role, name="delete-role"),
    path("groups/", group_views.group_list, name="groups"),
    path("groups/new/", group_views.new_group, name="new-group"),
    path("groups/<int:pk>/", group_views.group, name="group"),
    path("groups/<int:pk>/rename/", group_views.rename_group, name="rename-group"),
    path("groups/<int:pk>/members/", group_views.change_member, name="group-members"),
    path("groups/<int:pk>/roles/", group_views.change_role, name="group-roles"),
    path("groups/<int:pk>/delete/", group_views.delete_group, name="delete-group"),
    path("service-accounts/", account_views.accounts, name="tokens"),
    path("service-accounts/new/", account_views.new_account, name="new-account"),
    path("service-accounts/<uuid:uuid>/", account_views.account, name="account"),
    path("service-accounts/<uuid:uuid>/roles/", account_views.change_role, name="account-roles"),
    path("service-accounts/<uuid:uuid>/active/", account_views.change_active, name="account-active"),
    path("service-accounts/<uuid:uuid>/tokens/", account_views.new_token, name="new-token"),
    path("service-accounts/<uuid:uuid>/tokens/<str:prefix>/revoke/", account_views.revoke, name="revoke-token"),
    path("me/", views.me, name="me"),
    path("me/sessions/", views.sessions, name="sessions"),
    path("me/keys/", views.keys, name="keys"),
]
