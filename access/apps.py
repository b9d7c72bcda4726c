"""The Django application `access`."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Names the room for Django."""

    name = "access"

    def ready(self) -> None:
        """Let drf-spectacular know how the API is signed in to, and listen to what allauth says of second factors."""
        from access import openapi, receivers  # noqa: F401 - both register by being imported
