"""Template filters and tags shared by every page: how a state, a digest, a moment and a number are written.

Numbers that are missing or not finite are written "n/a", never "nan" or an empty cell. Moments are always in UTC and
say so.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any, Final

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from foundation.navigation import Entry, entries_for
from foundation.states import look
from foundation.text import safe_html

register = template.Library()

MISSING: Final = "n/a"
MINUS: Final = "−"
DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b")
MOMENT: Final = re.compile(r"\b(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}):[\d.]+(?:\+00:00|Z)")
UNCOUNTED: Final = frozenset({"evidence", "outcomes", "predictions", "thresholds"})
MEMBERSHIP: Final = {"group.add": "put somebody into a group", "group.remove": "took somebody out of a group"}
IRREGULAR: Final = {
    "set": "set",
    "withdraw": "withdrew",
    "give": "gave",
    "feed": "fed",
    "read": "read",
    "view": "looked at",
    "tag": "tagged",
    "untag": "untagged",
    "admit": "admitted",
    "cancel": "cancelled",
    "reset": "reset",
    "run": "ran",
    "deploy": "deployed",
    "stop": "stopped",
    "retry": "retried",
    "verify": "verified",
}
AGES: Final = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3_600), ("minute", 60))
PLAIN_WIDGETS: Final = (CheckboxInput, RadioSelect, CheckboxSelectMultiple)


def _number(value: object) -> float | None:
    """`value` as a finite float, or None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _signed(number: float, digits: int) -> str:
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


@register.filter
def state_css(state: object) -> str:
    """The colour class of a state, the suffix of `badge--…`."""
    return look(state).css


@register.filter
def state_icon(state: object) -> str:
    """The icon of a state, a name in the sprite."""
    return look(state).icon


@register.filter
def state_label(state: object) -> str:
    """The word for a state: `in_review` is `In review`."""
    return look(state).label


@register.filter
def state_badge(state: object) -> SafeString:
    """The whole badge of a state, icon and word included."""
    shown = look(state)
    return format_html(
        '<span class="badge badge--{}"><svg class="ico" aria-hidden="true" focusable="false">'
        '<use href="#i-{}"></use></svg>{}</span>',
        shown.css,
        shown.icon,
        shown.label,
    )


@register.filter
def short_digest(digest: object) -> str:
    """`sha256:9f2c41e0…7be4`: enough to compare by eye; keeps an algorithm prefix, leaves short text alone."""
    text = str(digest or "")
    prefix, colon, value = text.rpartition(":")
    return f"{prefix}{colon}{value[:8]}…{value[-4:]}" if len(value) > 16 else text


def _as_utc(moment: object) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@register.filter
def utc(moment: object) -> str:
    """`23 Nov 2026, 09:14 UTC`; a date without a time is `23 Nov 2026`; nothing is an empty string."""
    exact = _as_utc(moment)
    if exact:
        return f"{exact.day} {exact:%b %Y, %H:%M} UTC"
    return f"{moment.day} {moment:%b %Y}" if isinstance(moment, date) else ""


@register.filter
def when(moment: object) -> SafeString:
    """`utc` inside a `<time>` element, for machines and screen readers."""
    exact = _as_utc(moment)
    if exact:
        return format_html('<time datetime="{}">{}</time>', f"{exact:%Y-%m-%dT%H:%M:%SZ}", utc(moment))
    if isinstance(moment, date):
        return format_html('<time datetime="{}">{}</time>', moment.isoformat(), utc(moment))
    return mark_safe("")


@register.filter
def due(moment: object) -> str:
    """When something falls due, in words near today: `today`, `tomorrow`, `2 days ago`, else `25 Nov` with the year where it is another."""
    exact = _as_utc(moment)
    if exact is None:
        return ""
    today = timezone.now().astimezone(UTC).date()
    days = (exact.date() - today).days
    near = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days)
    if near or -7 <= days < 0:
        return near or f"{-days} days ago"
    return f"{exact.day} {exact:%b}" if exact.year == today.year else f"{exact.day} {exact:%b %Y}"


@register.filter
def days_left(moment: object) -> str:
    """How far away something is: `in 2 days`, `today`, `3 days over`."""
    exact = _as_utc(moment)
    if exact is None:
        return ""
    days = (exact.date() - timezone.now().astimezone(UTC).date()).days
    if days == 0:
        return "today"
    number = abs(days)
    return f"in {number} day{'s' * (number != 1)}" if days > 0 else f"{number} day{'s' * (number != 1)} over"


@register.filter
def ago(moment: object, now: object = None) -> str:
    """How long ago, in one word: `just now`, `5 minutes ago`, `3 hours ago`, `2 days ago`, `4 months ago`."""
    then, at = _as_utc(moment), _as_utc(now) or timezone.now()
    if then is None:
        return ""
    passed = (at - then).total_seconds()
    for unit, length in AGES:
        if passed >= length:
            number = int(passed // length)
            return f"{number} {unit}{'s' * (number != 1)} ago"
    return "just now"


@register.filter
def num(value: object, digits: int = 3) -> str:
    """A number with `digits` decimals and grouped thousands: `0.856`, `16,000.0`."""
    number = _number(value)
    return MISSING if number is None else f"{number:,.{digits}f}".replace("-", MINUS)


@register.filter
def whole(value: object) -> str:
    """A count with grouped thousands: `16,000`."""
    return num(value, 0)


@register.filter
def pct(value: object, digits: int = 1) -> str:
    """A share as a percentage: 0.814 is `81.4%`."""
    number = _number(value)
    return MISSING if number is None else f"{100 * number:.{digits}f}%".replace("-", MINUS)


@register.filter
def pts(value: object, digits: int = 1) -> str:
    """A difference of two shares in percentage points, signed: -0.158 is `−15.8`."""
    number = _number(value)
    return MISSING if number is None else _signed(100 * number, digits)


@register.filter
def signed_delta(value: object, digits: int = 3) -> str:
    """A difference with its sign: 0.021 is `+0.021`; a difference that rounds to nothing has no sign."""
    number = _number(value)
    return MISSING if number is None else _signed(number, digits)


@register.filter
def seconds(value: object) -> str:
    """A duration given in seconds: `0.4 s`, `52 s`, `3 min 5 s`, `2 h 4 min`."""
    number = _number(value)
    if number is None:
        return MISSING
    if number < 10:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@register.filter
def initials(name: object) -> str:
    """Two letters for an avatar: `Marta Kowalska` is `MK`, `scorer` is `SC`."""
    words = str(name or "?").replace(".", " ").replace("_", " ").replace("-", " ").split()
    return (words[0][0] + words[-1][0] if len(words) > 1 else (words or ["?"])[0][:2]).upper()


@register.filter
def deed(action: object) -> str:
    """An action of the ledger as what somebody did: `sign_off.give` is `gave a sign-off`; no group is added by a membership."""
    if str(action) in MEMBERSHIP:
        return MEMBERSHIP[str(action)]
    noun, _, verb = str(action).partition(".")
    things = noun.replace("sign_off", "sign-off").replace("_", " ")
    first, _, rest = verb.partition("_")
    past = IRREGULAR.get(first) or (f"{first}d" if first.endswith("e") else f"{first}ed")
    did = f"{past} {rest.replace('_', ' ')}".strip()
    article = "" if things in UNCOUNTED else "an " if things[:1] in "aeiou" else "a "
    return f"{did} {article}{things}" if verb else str(action)


@register.filter
def plain_changes(changes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The changes of an entry that read as words: without lists and objects, with digests and moments shortened."""
    readable = [
        (name, value) for name, value in changes if value and not {"{", "["} & {value[0], value.split(" → ")[-1][:1]}
    ]
    return [
        (name, MOMENT.sub(r"\1 \2 UTC", DIGEST.sub(lambda found: short_digest(found.group()), value)))
        for name, value in readable
    ]


@register.filter
def markdown(text: object) -> SafeString:
    """Text in Markdown as safe HTML (see `foundation.text`)."""
    html = safe_html(str(text or ""))
    return mark_safe(html)  # noqa: S308 - nh3 has just cleaned it


@register.filter
def strip(text: object) -> object:
    """Text without the blanks around it; what is safe stays safe."""
    bare = str(text).strip()
    return mark_safe(bare) if isinstance(text, SafeString) else bare  # noqa: S308 - was safe before


@register.filter
def unlocalized(value: object) -> str:
    """A number as HTML attributes want it: no grouping, a point for decimals."""
    number = _number(value)
    return "0" if number is None else f"{number:g}"


@register.filter
def is_checkbox(field: BoundField) -> bool:
    """Whether a form field is a single checkbox, whose label stands behind it."""
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def control(field: BoundField) -> SafeString:
    """The control of a form field in the product's look; Django itself ties it to its hint and errors.

    A placeholder that only says the label again is left out: it looks like an answer.
    """
    if field.field.widget.attrs.get("placeholder") == field.label:
        del field.field.widget.attrs["placeholder"]
    classes = "" if isinstance(field.field.widget, PLAIN_WIDGETS) else "input"
    return field.as_widget(attrs={"class": f"{classes} {field.field.widget.attrs.get('class', '')}".strip()})


@register.filter
def may(reader: Any, permission: str) -> bool:
    """Whether the person may use a permission over everything: for showing a link that would refuse others."""
    return reader is not None and bool(reader.allows(permission))


@register.simple_tag(takes_context=True)
def navigation(context: Context, place: str = "") -> list[Entry]:
    """The main navigation for the page being shown; `place` is `bar`, `more`, `tab` or `tabmore`."""
    request: Any = context.get("request")
    reader: Any = context.get("reader")
    allows = reader.allows if reader is not None else lambda needs: True
    return entries_for(request.path if request else "/", place, allows=allows)
