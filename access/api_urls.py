"""Addresses of the API about oneself, people, service accounts and tokens, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from access import api

urlpatterns = [
    path("me/", api.Me.as_view(), name="api-me"),
    path("people/", api.People.as_view(), name="api-people"),
    path("people/<uuid:uuid>/", api.Person.as_view(), name="api-person"),
    path("service-accounts/", api.ServiceAccounts.as_view(), name="api-service-accounts"),
    path("service-accounts/<uuid:uuid>/tokens/", api.Tokens.as_view(), name="api-tokens"),
    path("tokens/<str:prefix>/revoke/", api.RevokeToken.as_view(), name="api-revoke-token"),
]
