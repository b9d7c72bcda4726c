"""The Django application `config`."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Names the room for Django, and joins the others once they are there."""

    name = "config"

    def ready(self) -> None:
        """Say where each kind of thing in the ledger is shown."""
        from config import places  # models are ready only now

        places.join()
