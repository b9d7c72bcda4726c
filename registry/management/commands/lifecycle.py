"""`manage.py lifecycle`: draw docs/lifecycle.md from the table of moves."""

from django.conf import settings
from django.core.management.base import BaseCommand

from registry.drawing import document


class Command(BaseCommand):
    help = "Write docs/lifecycle.md from the table in registry/lifecycle.py."

    def handle(self, *args: object, **options: object) -> None:
        (settings.BASE_DIR / "docs" / "lifecycle.md").write_text(document())
        self.stdout.write("Wrote docs/lifecycle.md.")
