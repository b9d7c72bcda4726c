"""What is written into discussions: threads, replies, edits, resolving. All are plain forms that lead back to the thread."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from access.permissions import Permission, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import NotFound, Refusal
from registry import queries as registry
from registry.models import ModelVersion
from reviews.actions import edit_comment, open_thread, reopen_thread, reply, resolve_thread
from reviews.evaluation import page_of
from reviews.finding_forms import EditForm, ReplyForm, ThreadForm
from reviews.forms import show_refusal
from reviews.models import Comment, Review, Thread


@require_http_methods(["GET", "POST"])
def comment(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Start a thread about the version, a section of its evidence, or one place inside it (`?section=`, `?path=`)."""
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    review = _review(version, request.POST.get("stage") or request.GET.get("stage") or "")
    place = {"section": request.GET.get("section", ""), "path": request.GET.get("path", "")}
    form = ThreadForm(request.POST or None, initial=place)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            thread = open_thread(
                review,
                values["body"],
                section=values["section"],
                path=values["path"],
                must_resolve=values["must_resolve"],
                feedback=values["feedback"],
                by=by,
            )
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            return redirect(_at(thread))
    context = {"form": form, "version": version, "section": form["section"].value(), "path": form["path"].value()}
    return render(request, "reviews/comment.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def reply_page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Answer in a thread."""
    by = principal_of(request)
    thread = _thread(uuid, by)
    form = ReplyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reply(thread, form.cleaned_data["body"], form.cleaned_data["feedback"], by=by)
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            return redirect(_at(thread))
    said = thread.comments.select_related("author").prefetch_related("revisions")
    context = {"form": form, "version": thread.review.version, "thread": thread, "said": said}
    return render(request, "reviews/reply.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Say one's own comment anew, and read what it said before; others read only."""
    by = principal_of(request)
    said = _comment(pk, by)
    form = EditForm(request.POST or None, initial={"body": said.text})
    if request.method == "POST" and form.is_valid():
        try:
            edit_comment(said, form.cleaned_data["body"], by=by)
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            return redirect(_at(said.thread) if said.thread else page_of(said.review.version))
    context = {
        "form": form,
        "said": said,
        "version": said.review.version,
        "own": by.user is not None and by.user.pk == said.author_id,
        "revisions": list(said.revisions.order_by("-number")),
        "back": _at(said.thread) if said.thread else page_of(said.review.version),
    }
    return render(request, "reviews/comment_edit.html", context, status=400 if form.errors else 200)


@require_POST
def resolve(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Settle a thread (`resolved=1`), or open it again (`resolved=0`)."""
    by = principal_of(request)
    thread = _thread(uuid, by)
    if request.POST.get("resolved") == "0":
        reopen_thread(thread, by=by)
        messages.success(request, "The thread is open again.")
    else:
        resolve_thread(thread, by=by)
        messages.success(request, "The thread is resolved.")
    return redirect(_at(thread))


def _at(thread: Thread) -> str:
    """The thread's place on the review page."""
    review = thread.review
    return f"{page_of(review.version)}?stage={review.stage.name}#{thread.anchor}"


def _review(version: ModelVersion, stage: str) -> Review:
    rows = version.reviews.select_related("version__model", "stage").order_by("-requested_at")
    found = (rows.filter(stage__name=stage) if stage else rows).first()
    if found is None:
        raise NotFound(f"{version} has no review to discuss yet. Request one first.")
    return found


def _thread(uuid: UUID, by: Principal) -> Thread:
    rows = Thread.objects.select_related("review__version__model", "review__stage", "opened_by")
    found = visible_to(rows, by, Permission.SEE_MODEL, through="review__version__model").filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such thread that you may see.")
    return found


def _comment(pk: int, by: Principal) -> Comment:
    rows = Comment.objects.select_related(
        "review__version__model", "thread__review__version__model", "thread__review__stage", "author"
    )
    found = visible_to(rows, by, Permission.SEE_MODEL, through="review__version__model").filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such comment that you may see.")
    return found
