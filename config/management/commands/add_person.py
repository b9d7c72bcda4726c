"""`manage.py add_person NAME --role ROLE`: the first administrator of a real installation, or anybody else, by whoever runs the machine."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from access import actions
from access.models import Role
from access.principal import Principal
from foundation.refusals import Refusal


class Command(BaseCommand):
    """Asks for the password on the terminal, so that it stands in no shell history."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="the name that stands on signatures")
        parser.add_argument("--email", default="")
        parser.add_argument("--role", action="append", default=[], help="may be given several times")

    def handle(self, *args: Any, **options: Any) -> None:
        roles = list(Role.objects.filter(name__in=options["role"]))
        unknown = set(options["role"]) - {role.name for role in roles}
        if unknown:
            known = ", ".join(Role.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no role {', '.join(sorted(unknown))}. Roles: {known}.")
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Once more: "):
            raise CommandError("The two passwords differ; nothing was saved.")
        operator = Principal.system("operator")
        try:
            with transaction.atomic():
                user = actions.create_person(
                    options["username"],
                    display_name=options["name"] or options["username"],
                    email=options["email"],
                    password=password,
                    by=operator,
                )
                for role in roles:
                    actions.assign_role(role, to=user, by=operator)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{user} can sign in now" + (f", as {', '.join(role.name for role in roles)}." if roles else ".")
        )
