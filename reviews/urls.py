"""The portal's addresses of this room."""

from django.urls import path

app_name = "reviews"
urlpatterns: list[object] = []
