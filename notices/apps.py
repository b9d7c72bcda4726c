"""The Django application `notices`."""

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Names the room for Django, and has it told when long work is over."""

    name = "notices"

    def ready(self) -> None:
        """Registers with `jobs`, the room below."""
        from notices import ends  # noqa: F401 - imported for its registration; models are ready only now
