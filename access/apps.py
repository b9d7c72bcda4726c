"""The Django application `access`."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Names the room for Django."""

    name = "access"

    def ready(self) -> None:
        """Let drf-spectacular know how the API is signed in to; it learns by import."""
        from access import openapi  # noqa: F401 - imported for its registration
