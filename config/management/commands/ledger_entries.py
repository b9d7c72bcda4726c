"""`manage.py ledger_entries`: draw docs/ledger-entries.md from the table of actions and the table of addresses."""

from django.conf import settings
from django.core.management.base import BaseCommand

from config.vocabulary import document


class Command(BaseCommand):
    help = "Write docs/ledger-entries.md from audit/events.py and config/reads.py."

    def handle(self, *args: object, **options: object) -> None:
        (settings.BASE_DIR / "docs" / "ledger-entries.md").write_text(document())
        self.stdout.write("Wrote docs/ledger-entries.md.")
