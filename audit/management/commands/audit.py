"""`manage.py audit …`: everything that an operator does with the ledger. Exit code 0: all is well; 1: it is not; the sentence says why."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from audit import keys, store, triggers
from audit.checks import verify_ledger
from audit.events import Actor
from audit.journal import JournalDamaged
from audit.keys import KeyRefused
from audit.models import Pending, Quarantined
from audit.reindex import reindex
from audit.sequencer import RefusesToSign, Sequencer, initialise, state_journal

OPERATOR: Final = Actor(kind="system", id="operator", via="command")


class Command(BaseCommand):
    """Initialise, sequence, look at, verify and reindex the ledger, or print its newest checkpoint."""

    help = "The ledger: init, sequencer, status, verify, checkpoint, reindex."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True)
        commands.add_parser("init", help="make the keys and sign the empty ledger; harmless when done already")
        commands.add_parser("sequencer", help="log and sign what is pending until SIGTERM")
        commands.add_parser("status", help="size, newest checkpoint, what is pending, what was refused")
        commands.add_parser("checkpoint", help="print the newest signed checkpoint")
        commands.add_parser("reindex", help="rebuild the search index from the entries")
        verifying = commands.add_parser("verify", help="recompute the ledger and compare it with every checkpoint")
        verifying.add_argument(
            "--since", type=int, default=0, metavar="N", help="the size of a checkpoint verified before"
        )
        verifying.add_argument("--deep", action="store_true", help="also writers' links, index, private data and clock")

    def handle(self, *_args: Any, subcommand: str, **options: Any) -> None:
        """Run one subcommand."""
        run: dict[str, Callable[..., None]] = {
            "init": self._init,
            "sequencer": self._sequencer,
            "status": self._status,
            "checkpoint": self._checkpoint,
            "reindex": self._reindex,
            "verify": self._verify,
        }
        try:
            run[subcommand](**{name: options[name] for name in ("since", "deep") if subcommand == "verify"})
        except (RefusesToSign, KeyRefused, JournalDamaged) as error:
            raise CommandError(str(error)) from error

    def _init(self) -> None:
        head = initialise()
        self.stdout.write(f"The ledger {head.origin} is ready; it holds {head.size:,} entries.")
        self.stdout.write(f"Its public key is {keys.trusted_verifiers()[-1]}")

    def _sequencer(self) -> None:
        stop = threading.Event()

        def stop_soon(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, stop_soon)
        Sequencer(keys.load_log_key()).run(stop)

    def _status(self) -> None:
        latest, outside = store.latest_checkpoint(), state_journal().largest()
        if latest is None:
            raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
        refused, missing = Quarantined.objects.count(), triggers.missing(connection)
        signed = datetime.fromtimestamp(latest.t / 1_000_000, UTC).isoformat(timespec="seconds")
        self.stdout.write(f"{latest.size:,} entries are signed, the newest checkpoint at {signed}.")
        self.stdout.write(f"Outside the database {outside.size if outside else 0:,} are held.")
        self.stdout.write(f"{Pending.objects.count():,} entries wait to be logged.")
        for row in Quarantined.objects.order_by("-id")[:10]:
            self.stdout.write(f"Refused, pending row {row.pending_id}: {row.why}.")
        if refused or missing:
            raise CommandError(
                f"{refused:,} rows lie in quarantine; guards missing: {', '.join(sorted(missing)) or 'none'}."
            )

    def _checkpoint(self) -> None:
        latest = store.latest_checkpoint()
        if latest is None:
            raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
        self.stdout.write(latest.note, ending="")

    def _reindex(self) -> None:
        self.stdout.write(f"The search index shows {reindex():,} entries.")

    def _verify(self, *, since: int, deep: bool) -> None:
        if deep and since:
            raise CommandError("--deep reads from the first entry on; leave --since out.")
        result = verify_ledger(by=OPERATOR, since=since, deep=deep)
        if not result.ok:
            problems = "\n".join(f"- {problem.sentence}" for problem in result.problems)
            raise CommandError(f"{result.sentence}\n{problems}")
        self.stdout.write(f"{result.sentence} Root {result.root} ({result.seconds:.2f} s).")
