"""`manage.py trusted_types`: write the list of types that workers load, from the installed library versions."""

from pathlib import Path

from django.core.management.base import BaseCommand

from registry import trusted_types
from registry.trusted_source import module_text


class Command(BaseCommand):
    help = "Write registry/trusted_types.py anew from the installed skops and scikit-learn; review the difference."

    def handle(self, *args: object, **options: object) -> None:
        path = Path(trusted_types.__file__)
        path.write_text(module_text())
        self.stdout.write(f"Wrote {path.name}. Read the difference before you commit it.")
