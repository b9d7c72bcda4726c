"""`manage.py import_mlflow --from ADDRESS --by PERSON`: take over the models of an MLflow registry, by whoever runs the machine.

Credentials come from MLflow's own variables: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; for a
database from PGPASSWORD. Run it again to go on after an interruption.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from access.models import User
from access.principal import Principal
from foundation.refusals import Conflict, Refusal

if TYPE_CHECKING:
    from serving.importing import Summary


class Command(BaseCommand):
    """Shows each version as its turn comes, and says at the end what was left out and why."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="address", required=True, help="http(s)://…, sqlite:///… or postgresql://…")
        parser.add_argument(
            "--by", required=True, help="the person in whose name it is recorded, and who owns new models"
        )
        parser.add_argument("--models", default="*", help="a shell pattern of names, such as 'credit-*'")
        parser.add_argument("--tier", type=int, default=1, choices=(1, 2, 3), help="the risk tier of new models")
        parser.add_argument(
            "--grace-days", type=int, default=30, help="until what was live there has to be reviewed here"
        )
        parser.add_argument(
            "--files",
            action="append",
            default=[],
            help="a folder or storage address to read files from; may be repeated",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be imported")

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ.setdefault(
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"
        )  # by itself MLflow goes on asking for four minutes
        # MLflow takes seconds to import; no other command has to wait for that.
        from serving.importing import MAX_GRACE_DAYS, Summary, Terms, import_registry
        from serving.importing_source import open_registry

        if not 1 <= options["grace_days"] <= MAX_GRACE_DAYS:
            raise CommandError(f"The grace is 1 to {MAX_GRACE_DAYS} days.")
        by = Principal.of(_person(options["by"]), via="import")
        terms = Terms(options["tier"], timedelta(days=options["grace_days"]), dry_run=options["dry_run"])
        summary = Summary()
        try:
            with _work_folder() as work:
                registry = open_registry(options["address"], work=work, places=options["files"])
                self.stdout.write(f"{'Looking at' if terms.dry_run else 'Importing'} {registry.origin}")
                try:
                    import_registry(registry, options["models"], summary, terms=terms, say=self._say, by=by)
                finally:
                    self._tell(summary, "would be " if terms.dry_run else "")
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal

    def _tell(self, summary: Summary, would: str) -> None:
        self.stdout.write(
            f"\n{summary.models} models and {summary.versions} versions {would}imported ({summary.rejected} of them refused by the scan), "
            f"{summary.there} versions were here already; {summary.aliases} aliases set, {summary.reviews} reviews requested, "
            f"{summary.retired} archived versions retired."
        )
        if summary.left_out:
            self.stdout.write(f"\nLeft out ({len(summary.left_out)}):")
        for what, why in summary.left_out:
            self.stdout.write(f"- {what}: {why}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _person(username: str) -> User:
    person = User.objects.filter(username=username, is_active=True).first()
    if person is None or not person.is_person:
        raise CommandError(f"There is no active person {username}. Name who answers for the import with --by.")
    return person


@contextmanager
def _work_folder() -> Iterator[Path]:
    """An empty folder for what is fetched, for one import at a time; what one that was killed left in it goes first."""
    home = Path(settings.VAR_DIR) / "importing"
    home.mkdir(parents=True, exist_ok=True, mode=0o750)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "Another import is running on this machine. Wait until it is over.", code="importing"
            ) from None
        work = home / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
