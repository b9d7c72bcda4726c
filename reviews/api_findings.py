"""Findings and threads over the API: what is owed, each step of it, and what is said about the evidence."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.models import User
from access.permissions import Permission, visible_to
from access.requests import principal_of
from foundation.refusals import Invalid, NotFound
from registry import queries as registry
from reviews.actions import (
    answer_finding,
    close_finding,
    comment_on_finding,
    edit_comment,
    extend_finding,
    open_thread,
    raise_finding,
    reopen_thread,
    reply,
    resolve_thread,
    return_finding,
    withdraw_finding,
)
from reviews.api_confirming import ProofIn, confirmed
from reviews.findings import visible_findings
from reviews.models import Comment, Finding, FindingEvent, Review, Thread


class FindingEventOut(serializers.ModelSerializer[FindingEvent]):
    """One step; an extension has the signed statement (DSSE) that carries it."""

    by = serializers.CharField(source="by.username", default=None, allow_null=True)

    class Meta:
        model = FindingEvent
        fields = ("kind", "body", "due_at", "by", "at", "statement_digest", "statement")


class FindingOut(serializers.ModelSerializer[Finding]):
    """Something wrong or owed about a version; `sign_off` names the approval whose condition it is."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    owner = serializers.CharField(source="owner.username")
    raised_by = serializers.CharField(source="raised_by.username", default=None, allow_null=True)
    verifying_group = serializers.CharField(source="verifying_group.name")
    sign_off = serializers.UUIDField(source="sign_off.uuid", default=None, allow_null=True)

    class Meta:
        model = Finding
        fields = (
            *("uuid", "model", "version", "sign_off", "title", "detail", "severity", "state", "owner", "due_at"),
            *("verifying_slot", "verifying_group", "raised_by", "raised_at", "closed_at"),
        )


class FindingDetail(serializers.Serializer[Any]):
    """A finding with everything that happened to it."""

    finding = FindingOut()
    events = FindingEventOut(many=True)


class FindingIn(serializers.Serializer[Any]):
    """A finding. `owner`: user name; `verifying_group`: name of the group; `thread`: uuid of its origin."""

    title = serializers.CharField(max_length=160)
    detail = serializers.CharField(max_length=10_000, required=False, default="", allow_blank=True)
    severity = serializers.ChoiceField(choices=Finding.Severity.choices)
    owner = serializers.CharField()
    due_at = serializers.DateTimeField()
    verifying_group = serializers.CharField()
    thread = serializers.UUIDField(required=False, allow_null=True, default=None)


class StepIn(serializers.Serializer[Any]):
    """What goes with a step."""

    body = serializers.CharField(max_length=10_000)


class ExtensionIn(ProofIn):
    """A later due date, signed by who verifies."""

    due_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=10_000)


class CommentOut(serializers.ModelSerializer[Comment]):
    """A remark as it reads now."""

    author = serializers.CharField(source="author.username")
    body = serializers.CharField(source="text")
    revisions = serializers.IntegerField(source="revisions.count")

    class Meta:
        model = Comment
        fields = ("id", "author", "at", "feedback", "body", "revisions")


class ThreadOut(serializers.ModelSerializer[Thread]):
    """A discussion and its place in the evidence."""

    opened_by = serializers.CharField(source="opened_by.username")
    resolved_by = serializers.CharField(source="resolved_by.username", default=None, allow_null=True)
    comments = CommentOut(many=True)

    class Meta:
        model = Thread
        fields = (
            *("uuid", "section", "path", "must_resolve", "opened_by", "opened_at", "resolved_by", "resolved_at"),
            "comments",
        )


class ThreadIn(serializers.Serializer[Any]):
    """A thread; `section` empty: about the version at large; `path`: JSON Pointer inside the section's evidence."""

    body = serializers.CharField(max_length=20_000)
    section = serializers.CharField(required=False, default="", allow_blank=True)
    path = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    must_resolve = serializers.BooleanField(required=False, default=False)
    feedback = serializers.ChoiceField(choices=Comment.Feedback.choices, required=False, default="", allow_blank=True)


class ReplyIn(serializers.Serializer[Any]):
    """A reply."""

    body = serializers.CharField(max_length=20_000)
    feedback = serializers.ChoiceField(choices=Comment.Feedback.choices, required=False, default="", allow_blank=True)


class EditIn(serializers.Serializer[Any]):
    """A comment said anew."""

    body = serializers.CharField(max_length=20_000)


class FindingsView(ListAPIView[Finding]):
    """Findings about models that the caller may see."""

    serializer_class = FindingOut
    filter_backends = ()
    queryset = Finding.objects.none()

    def get_queryset(self) -> Any:
        """What is due first comes first; `?model=`, `?state=`, `?owner=` narrow it."""
        rows = visible_findings(principal_of(self.request)).order_by("due_at", "pk")
        asked = {"model": "version__model__name", "state": "state", "owner": "owner__username"}
        given = {
            path: self.request.query_params[name] for name, path in asked.items() if name in self.request.query_params
        }
        return rows.filter(**given)

    @extend_schema(
        parameters=[OpenApiParameter("model", str), OpenApiParameter("state", str), OpenApiParameter("owner", str)]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The list."""
        return super().get(request, *args, **kwargs)


class VersionFindingsView(APIView):
    """Findings about one version."""

    @extend_schema(request=FindingIn, responses={201: FindingDetail})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Raise one."""
        values = _given(FindingIn, request)
        by = principal_of(request)
        found = raise_finding(
            registry.find_version(name, number, by),
            title=values["title"],
            detail=values["detail"],
            severity=values["severity"],
            owner=_owner(values["owner"]),
            due_at=values["due_at"],
            verifying_group=_group(values["verifying_group"]),
            thread=_thread(values["thread"], request) if values["thread"] else None,
            by=by,
        )
        return Response(_detail(found), status=status.HTTP_201_CREATED)


class FindingView(APIView):
    """One finding."""

    @extend_schema(responses=FindingDetail)
    def get(self, request: Request, uuid: UUID) -> Response:
        """The finding and its steps."""
        return Response(_detail(_finding(uuid, request)))


class FindingCommentsView(APIView):
    """Remarks on a finding."""

    @extend_schema(request=StepIn, responses={201: FindingDetail})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Add one."""
        comment_on_finding(_finding(uuid, request), _given(StepIn, request)["body"], by=principal_of(request))
        return Response(_detail(_finding(uuid, request)), status=status.HTTP_201_CREATED)


class FindingAnswerView(APIView):
    """Answering a finding."""

    @extend_schema(request=StepIn, responses=FindingDetail)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Its owner says what was done."""
        answer_finding(_finding(uuid, request), _given(StepIn, request)["body"], by=principal_of(request))
        return Response(_detail(_finding(uuid, request)))


class FindingReturnView(APIView):
    """Sending an answer back."""

    @extend_schema(request=StepIn, responses=FindingDetail)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Who verifies says what is missing."""
        return_finding(_finding(uuid, request), _given(StepIn, request)["body"], by=principal_of(request))
        return Response(_detail(_finding(uuid, request)))


class FindingCloseView(APIView):
    """Closing a finding."""

    @extend_schema(request=StepIn, responses=FindingDetail)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Who verifies says how it was verified."""
        close_finding(_finding(uuid, request), _given(StepIn, request)["body"], by=principal_of(request))
        return Response(_detail(_finding(uuid, request)))


class FindingWithdrawView(APIView):
    """Withdrawing a finding."""

    @extend_schema(request=StepIn, responses=FindingDetail)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Who raised it takes it back; a condition is not withdrawn."""
        withdraw_finding(_finding(uuid, request), reason=_given(StepIn, request)["body"], by=principal_of(request))
        return Response(_detail(_finding(uuid, request)))


class FindingExtendView(APIView):
    """Giving a finding a later date."""

    @extend_schema(request=ExtensionIn, responses=FindingDetail)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Sign the new date, confirming that it is you."""
        values = _given(ExtensionIn, request)
        by = principal_of(request)
        found = _finding(uuid, request)
        confirmed(
            values,
            by,
            lambda proof: extend_finding(
                found, values["due_at"], reason=values["reason"], reauthentication=proof, by=by
            ),
        )
        return Response(_detail(_finding(uuid, request)))


class ThreadsView(APIView):
    """The discussion of a review."""

    @extend_schema(responses=ThreadOut(many=True))
    def get(self, request: Request, uuid: UUID) -> Response:
        """Every thread with its comments, the oldest first."""
        rows = _threads(request).filter(review=_review(uuid, request))
        return Response(ThreadOut(rows, many=True).data)

    @extend_schema(request=ThreadIn, responses={201: ThreadOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Open one."""
        values = _given(ThreadIn, request)
        thread = open_thread(_review(uuid, request), values.pop("body"), by=principal_of(request), **values)
        return Response(ThreadOut(_thread(thread.uuid, request)).data, status=status.HTTP_201_CREATED)


class RepliesView(APIView):
    """Replies in a thread."""

    @extend_schema(request=ReplyIn, responses={201: ThreadOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Add one."""
        values = _given(ReplyIn, request)
        reply(_thread(uuid, request), values["body"], values["feedback"], by=principal_of(request))
        return Response(ThreadOut(_thread(uuid, request)).data, status=status.HTTP_201_CREATED)


class ThreadResolveView(APIView):
    """Resolving a thread."""

    @extend_schema(request=None, responses=ThreadOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Settle it; when it was the last thing missing, the round is approved."""
        resolve_thread(_thread(uuid, request), by=principal_of(request))
        return Response(ThreadOut(_thread(uuid, request)).data)


class ThreadReopenView(APIView):
    """Opening a thread again."""

    @extend_schema(request=None, responses=ThreadOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """It is not settled after all."""
        reopen_thread(_thread(uuid, request), by=principal_of(request))
        return Response(ThreadOut(_thread(uuid, request)).data)


class CommentEditView(APIView):
    """Editing a comment."""

    @extend_schema(request=EditIn, responses=CommentOut)
    def post(self, request: Request, pk: int) -> Response:
        """Its author says it anew; the earlier text stays."""
        rows = Comment.objects.select_related("review__version__model", "author")
        seen = visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="review__version__model")
        said = seen.filter(pk=pk).first()
        if said is None:
            raise NotFound("There is no such comment that you may see.")
        edit_comment(said, _given(EditIn, request)["body"], by=principal_of(request))
        return Response(CommentOut(said).data)


def _given(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = form(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _finding(uuid: UUID, request: Request) -> Finding:
    found = visible_findings(principal_of(request)).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such finding that you may see.")
    return found


def _detail(finding: Finding) -> dict[str, Any]:
    events = finding.events.select_related("by")
    return {"finding": FindingOut(finding).data, "events": FindingEventOut(events, many=True).data}


def _review(uuid: UUID, request: Request) -> Review:
    rows = Review.objects.select_related("version__model", "stage")
    seen = visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="version__model")
    found = seen.filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such review that you may see.")
    return found


def _threads(request: Request) -> Any:
    rows = Thread.objects.select_related("opened_by", "resolved_by", "review__version__model")
    rows = rows.prefetch_related("comments__author", "comments__revisions")
    return visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="review__version__model")


def _thread(uuid: UUID, request: Request) -> Thread:
    found: Thread | None = _threads(request).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such thread that you may see.")
    return found


def _owner(name: str) -> User:
    found = User.objects.people().active().filter(username=name).first()
    if found is None:
        raise Invalid(f"There is no active person {name}.", errors={"owner": "Name an active person."})
    return found


def _group(name: str) -> Group:
    found = Group.objects.filter(name=name).first()
    if found is None:
        raise Invalid(f"There is no group {name}.", errors={"verifying_group": "Name a group."})
    return found
