"""The portal's pages about webhooks: the list, the form, the delivery log and one delivery."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit, snapshot
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Delivery, Webhook
from notices.webhooks import actions, queries
from notices.webhooks.forms import LogFilter, WebhookForm
from notices.webhooks.retrying import MOST_TRIES

PER_PAGE = 30


@require_GET
def webhooks(request: HttpRequest) -> HttpResponse:
    """Every webhook with how it fares."""
    by = principal_of(request)
    found = list(queries.webhooks(by))
    return render(request, "notices/webhooks.html", {"webhooks": [(one, queries.shown_url(one, by)) for one in found]})


@never_cache
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Make a webhook; the answer to the POST is the only place where its secret is shown."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_WEBHOOKS)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        secret = actions.new_secret()
        try:
            webhook = actions.create_webhook(**form.wanted(), secret=secret, by=by)
        except (Invalid, Conflict) as refusal:
            _show(form, refusal)
        else:
            return _page(request, queries.find_webhook(webhook.uuid, by), by, secret=secret)
    return render(request, "notices/webhook_form.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change what is sent and where to; its owner alone."""
    by = principal_of(request)
    webhook = queries.find_webhook(uuid, by)
    if not queries.owns(webhook, by):
        raise Forbidden(f"Events leave in the name of {webhook.owner}, who alone decides where to.", code="not-yours")
    form = WebhookForm(request.POST) if request.method == "POST" else WebhookForm.of(webhook)
    if request.method == "POST" and form.is_valid():
        try:
            actions.update_webhook(webhook, **form.wanted(), by=by)
        except (Invalid, Conflict) as refusal:
            _show(form, refusal)
        else:
            messages.success(request, f"The webhook {form.cleaned_data['name']} is changed.")
            return redirect("webhooks:detail", uuid=uuid)
    context = {"form": form, "webhook": webhook}
    return render(request, "notices/webhook_form.html", context, status=400 if form.errors else 200)


@require_GET
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One webhook with its delivery log."""
    by = principal_of(request)
    return _page(request, queries.find_webhook(uuid, by), by)


@require_GET
def delivery(request: HttpRequest, uuid: UUID, delivery: UUID) -> HttpResponse:
    """One delivery with what was sent."""
    by = principal_of(request)
    webhook = queries.find_webhook(uuid, by)
    found = queries.find_delivery(webhook, delivery)
    readable = queries.may_read(found, by)
    context = {
        "webhook": webhook,
        "delivery": found,
        "readable": readable,
        "body": json.dumps(json.loads(found.body), indent=2, ensure_ascii=False) if readable else "",
    }
    return render(request, "notices/webhook_delivery.html", context)


@require_POST
def switch(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Switch on or off."""
    by = principal_of(request)
    on = request.POST.get("on") == "yes"
    webhook = actions.update_webhook(queries.find_webhook(uuid, by), on=on, by=by)
    said = (
        "is on; what was waiting leaves first." if on else "is off: it is sent nothing, and no events are kept for it."
    )
    messages.success(request, f"The webhook {webhook.name} {said}")
    return redirect("webhooks:detail", uuid=uuid)


@never_cache
@require_POST
def renew(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Give it a new secret, shown by this answer alone."""
    by = principal_of(request)
    secret = actions.new_secret()
    actions.update_webhook(queries.find_webhook(uuid, by), secret=secret, by=by)
    return _page(request, queries.find_webhook(uuid, by), by, secret=secret)


@require_POST
def test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Send an example now."""
    by = principal_of(request)
    tried, _ = actions.send_example(queries.find_webhook(uuid, by), by=by)
    if tried.state == Delivery.State.DELIVERED:
        messages.success(
            request, f"The example arrived: answered {tried.last_status} after {tried.last_milliseconds} ms."
        )
    else:
        messages.error(request, f"The example did not arrive: {tried.last_error}.")
    return redirect("webhooks:detail", uuid=uuid)


@require_POST
def redeliver(request: HttpRequest, uuid: UUID, delivery: UUID) -> HttpResponse:
    """Send a delivery once more."""
    by = principal_of(request)
    actions.redeliver(queries.find_delivery(queries.find_webhook(uuid, by), delivery), by=by)
    messages.success(request, "It leaves again within a few seconds, under the same id.")
    return redirect("webhooks:detail", uuid=uuid)


@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask, then delete."""
    by = principal_of(request)
    webhook = queries.find_webhook(uuid, by)
    if request.method == "GET":
        return render(request, "notices/webhook_delete.html", {"webhook": webhook})
    actions.delete_webhook(webhook, by=by)
    messages.success(request, f"The webhook {webhook.name} is deleted, with its secret and its log.")
    return redirect("webhooks:list")


def _page(request: HttpRequest, webhook: Webhook, by: Principal, *, secret: str = "") -> HttpResponse:
    form = LogFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    page = Paginator(queries.deliveries(webhook, **wanted), PER_PAGE).get_page(request.GET.get("page"))
    reader = snapshot(by)
    readable = {one.pk for one in page if queries.may_read(one, reader)}
    context = {
        "webhook": webhook,
        "url": queries.shown_url(webhook, by),
        "owns": queries.owns(webhook, by),
        "secret": secret,
        "page": page,
        "rows": [(one, queries.subject_of(one) if one.pk in readable else "") for one in page],
        "form": form,
        "filtered": any(wanted.values()),
        "most_tries": MOST_TRIES,
    }
    return render(request, "notices/webhook.html", context)


def _show(form: WebhookForm, refusal: Invalid | Conflict) -> None:
    errors = refusal.errors if isinstance(refusal, Invalid) else {"name": refusal.detail}
    for field, sentence in errors.items():
        form.add_error(field if field in form.fields else None, sentence)
