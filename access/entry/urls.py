"""Addresses of the portal's pages about access policies."""

from __future__ import annotations

from django.urls import path

from access.entry import views

app_name = "access_policies"
_VERSION = "access-policies/<slug:name>/v/<int:number>/"

urlpatterns = [
    path("access-policies/", views.policies, name="policies"),
    path("access-policies/new/", views.new_policy, name="new"),
    path("access-policies/check/", views.check, name="check"),
    path("access-policies/<slug:name>/edit/", views.edit_policy, name="edit"),
    path("access-policies/<slug:name>/retire/", views.retire, name="retire"),
    path(_VERSION, views.policy, name="policy"),
    path(_VERSION + "rehearsal.csv", views.rehearsal_csv, name="rehearsal-csv"),
    path(_VERSION + "publish/", views.publish, name="publish"),
]
