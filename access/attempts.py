"""Decides how an attempt that no credential stands behind comes on record: at once, and then at most once a minute with a count.

Anybody can send wrong tokens and made-up sessions, as many as they like. So attempts are grouped by where they come from (an IPv4
address, or the /64 network that an IPv6 host has to itself) and by the token or session that they name, where we know it. The first
of a group is an entry of its own; those of the next minute are counted, and the next entry of the group says how many they were.
Naming things that do not exist makes no groups, and past `SOURCES` sources a minute all further ones are one group, so the ledger
grows by a bounded number of entries a minute whoever tries. The operator's log has every attempt.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Final

import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone

from access.models import RefusedAttempts
from access.principal import Principal
from audit.actions import NotAppended, append
from audit.events import Action, Obj, Outcome

EVERY: Final = timedelta(minutes=1)
SOURCES: Final = 60
"""As many sources a minute have groups of their own."""
EVERYBODY_ELSE: Final = "elsewhere"

log = structlog.get_logger(__name__)


def record_attempt(action: Action, obj: Obj, why: str, *, known: bool, by: Principal) -> None:
    """Put on record, or count towards the next entry, that `by` was refused because of `why`.

    `known`: whether `obj` is a token or an account of ours, which gets a group of its own; all others share one for each source.
    Never raises because the ledger could not be written: the attempt was refused all the same, and the log says so.
    """
    try:
        with transaction.atomic():
            _count(action, obj, why, known=known, by=by)
    except (DatabaseError, NotAppended):
        log.exception("ledger.attempt_not_recorded", action=action.value, why=why, ip=by.ip)


def record_counted() -> int:
    """Put on record what was counted and whose minute is over, and forget groups that nothing was added to; how many entries."""
    due, written = RefusedAttempts.objects.filter(noted_at__lte=timezone.now() - EVERY), 0
    for pk in due.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            group = due.select_for_update().filter(pk=pk).first()
            if group is None:
                continue
            if not group.waiting:
                group.delete()
                continue
            _append(group, Principal.anonymous(ip=group.address))
            written += 1
    return written


def source_of(address: str) -> str:
    """What counts as one place: an IPv4 address or an IPv6 network of 64 bits; empty where the address is not known."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _count(action: Action, obj: Obj, why: str, *, known: bool, by: Principal) -> None:
    now = timezone.now()
    thing = f"{obj.kind}:{obj.id}" if known else obj.kind
    source = source_of(by.ip)
    groups = RefusedAttempts.objects
    if not known and not groups.filter(source=source, action=action, thing=thing).exists():
        sources = groups.filter(noted_at__gt=now - EVERY).values("source").distinct().count()
        source = source if sources < SOURCES else EVERYBODY_ELSE
    group, _ = groups.select_for_update().get_or_create(source=source, action=action.value, thing=thing)
    group.waiting += 1
    group.kind, group.identifier, group.name = obj.kind, obj.id, obj.name
    group.why, group.address = why, by.ip
    if group.noted_at is None or group.noted_at <= now - EVERY:
        _append(group, by)
    else:
        group.save()


def _append(group: RefusedAttempts, by: Principal) -> None:
    """One entry for all that wait in the group, which begins a new minute."""
    append(
        Action(group.action),
        by=by,
        obj=Obj(group.kind, group.identifier, group.name),
        outcome=Outcome.DENIED,
        why=group.why,
        after={"attempts": group.waiting} | ({"from": "many addresses"} if group.source == EVERYBODY_ELSE else {}),
    )
    group.waiting, group.noted_at = 0, timezone.now()
    group.save()
