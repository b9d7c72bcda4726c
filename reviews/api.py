"""Reviews over the API: what stands between a version and a stage, requests, sign-offs, promotions, revocations, policies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.permissions import Permission, permit, visible_to
from access.requests import principal_of
from foundation.refusals import NotFound
from registry import queries as registry
from registry.models import Promotion, Stage
from reviews.actions import (
    dismiss_changes_request,
    draft_policy,
    open_round,
    propose_policy,
    rehearse_policy,
    request_review,
    sign_off,
    sign_policy,
    take_back_policy,
    withdraw_review,
    withdraw_sign_off,
)
from reviews.actions.drafts import checked
from reviews.api_confirming import ProofIn, confirmed
from reviews.api_receipts import ReceiptField
from reviews.conditions import Condition
from reviews.evaluation import Evaluation, current_subject, deadlocks, examine
from reviews.models import Finding, PolicySignature, PolicyVersion, Review, Revocation, SignOff
from reviews.promotion import promote, roll_back
from reviews.rehearsal import read_result, visible_part
from reviews.revocation import revoke


class RequirementOut(serializers.Serializer[Any]):
    """One requirement: what was measured, what is required, who or what can clear it."""

    key = serializers.CharField()
    title = serializers.CharField()
    status = serializers.CharField()
    measured = serializers.CharField()
    required = serializers.CharField()  # type: ignore[assignment]  # a field's name; DRF takes it off the class
    production = serializers.CharField()
    explanation = serializers.CharField()
    cleared_by = serializers.CharField()
    link = serializers.CharField()


class SignOffOut(serializers.ModelSerializer[SignOff]):
    """One decision with the signed statement (DSSE) that carries it."""

    slot = serializers.CharField(source="slot.key")
    person = serializers.CharField(source="person.username")
    on_behalf_of = serializers.CharField(source="delegation.delegator.username", default=None, allow_null=True)
    round = serializers.IntegerField(source="round.number")
    receipt = ReceiptField()

    class Meta:
        model = SignOff
        fields = (
            "uuid",
            "round",
            "slot",
            "person",
            "on_behalf_of",
            "decision",
            "reason",
            "signed_at",
            "withdrawn_at",
            "withdrawn_why",
            "statement_digest",
            "statement",
            "receipt",
        )


class ReviewOut(serializers.ModelSerializer[Review]):
    """The case for moving one version to one stage."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="stage.name")
    requested_by = serializers.CharField(source="requested_by.username")
    round = serializers.IntegerField(source="current_round.number")
    state = serializers.CharField(source="current_round.state")

    class Meta:
        model = Review
        fields = (
            "uuid",
            "model",
            "version",
            "stage",
            "why",
            "requested_by",
            "requested_at",
            "due_at",
            "closed_at",
            "round",
            "state",
        )


class NobodyOut(serializers.Serializer[Any]):
    """A sign-off that nobody can give as things are, and why. The rule is never relaxed for it."""

    slot = serializers.CharField()
    why = serializers.CharField()


class ReviewDetail(serializers.Serializer[Any]):
    """A review with everything that its stage asks for, met or not, and the subject that a signature given now would sign."""

    review = ReviewOut()
    subject_digest = serializers.CharField()
    subject = serializers.CharField(help_text="canonical JSON (RFC 8785)")
    requirements = RequirementOut(many=True)
    nobody_eligible = NobodyOut(many=True)
    sign_offs = SignOffOut(many=True)


class ReviewIn(serializers.Serializer[Any]):
    """A request for review."""

    model = serializers.CharField()
    version = serializers.IntegerField(min_value=1)
    stage = serializers.CharField(default="production")
    why = serializers.CharField(max_length=10_000)
    due_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ConditionIn(serializers.Serializer[Any]):
    """What an approval asks for afterwards. `owner`: user name; `verifying_slot`: key of a slot of the round; `thread`: its origin."""

    title = serializers.CharField(max_length=160)
    detail = serializers.CharField(max_length=10_000, required=False, default="", allow_blank=True)
    severity = serializers.ChoiceField(choices=Finding.Severity.choices)
    owner = serializers.CharField()
    due_at = serializers.DateTimeField()
    verifying_slot = serializers.CharField()
    thread = serializers.CharField(required=False, default="", allow_blank=True)


class SignOffIn(ProofIn):
    """A decision. `expected_subject` is the digest that was read; when it is not the current one, 409 says what has changed."""

    slot = serializers.SlugField()
    decision = serializers.ChoiceField(choices=SignOff.Decision.choices)
    reason = serializers.CharField(max_length=10_000)
    expected_subject = serializers.CharField(max_length=64)
    expected_round = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        help_text="number of the round that was read; 409 when another is open",
    )
    on_behalf_of = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=150,
        help_text="user name or uuid of who gave a delegation",
    )
    idempotency_key = serializers.CharField(min_length=8, max_length=64)
    conditions = ConditionIn(many=True, required=False, default=list)


class ReasonIn(serializers.Serializer[Any]):
    """A reason."""

    reason = serializers.CharField(max_length=10_000)


class PromotionIn(serializers.Serializer[Any]):
    """A promotion. `expected_previous`: the version that is believed to be live (null: none); left out: the one reviewed against."""

    version = serializers.IntegerField(min_value=1)
    stage = serializers.CharField(default="production")
    expected_previous = serializers.IntegerField(required=False, allow_null=True, min_value=1)


class StageIn(serializers.Serializer[Any]):
    """A stage."""

    stage = serializers.CharField(default="production")


class PromotionOut(serializers.ModelSerializer[Promotion]):
    """The move of a stage's alias, with the signed release that allowed it."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="stage.name")
    previous = serializers.IntegerField(source="previous.number", default=None, allow_null=True)
    by = serializers.CharField(source="by.username", default=None, allow_null=True, help_text="null: the clock")
    receipt = ReceiptField()

    class Meta:
        model = Promotion
        fields = (
            "uuid",
            "model",
            "version",
            "stage",
            "previous",
            "rollback",
            "release_digest",
            "release",
            "by",
            "at",
            "receipt",
        )


class RollbackIn(ProofIn):
    """A rollback of one stage."""

    stage = serializers.CharField(default="production")
    reason = serializers.CharField(max_length=10_000)


class RevocationIn(ProofIn):
    """A revocation: for all stages, and for good."""

    version = serializers.IntegerField(min_value=1)
    reason = serializers.CharField(max_length=10_000)


class RevocationOut(serializers.ModelSerializer[Revocation]):
    """A revocation with its signed statement."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    by = serializers.CharField(source="by.username")
    receipt = ReceiptField()

    class Meta:
        model = Revocation
        fields = ("uuid", "model", "version", "reason", "by", "at", "statement", "receipt")


class PolicyOut(serializers.ModelSerializer[PolicyVersion]):
    """One version of an admission policy."""

    name = serializers.CharField(source="policy.name")

    class Meta:
        model = PolicyVersion
        fields = ("name", "number", "status", "digest", "note", "created_at", "published_at", "content")


class PolicyIn(serializers.Serializer[Any]):
    """A draft."""

    name = serializers.CharField(max_length=63)
    content = serializers.DictField()
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


class RehearsalOut(serializers.Serializer[Any]):
    """What a policy would change. `hidden`: cases of models that the caller may not see; `result`: see docs/guides/policies.md."""

    digest = serializers.CharField()
    at = serializers.DateTimeField()
    hidden = serializers.IntegerField()
    result = serializers.DictField()


class PolicySignatureIn(ProofIn):
    """A decision on a proposed policy. `expected_rehearsal`: the digest of the rehearsal that was read; left out: the newest."""

    decision = serializers.ChoiceField(choices=PolicySignature.Decision.choices)
    reason = serializers.CharField(max_length=10_000)
    expected_rehearsal = serializers.CharField(required=False, default="", allow_blank=True, max_length=64)


class PolicySignatureOut(serializers.ModelSerializer[PolicySignature]):
    """One decision on a policy with the signed statement (DSSE) that carries it."""

    person = serializers.CharField(source="person.username")
    receipt = ReceiptField()

    class Meta:
        model = PolicySignature
        fields = ("uuid", "person", "decision", "reason", "signed_at", "statement_digest", "statement", "receipt")


class ContentIn(serializers.Serializer[Any]):
    """The text of a policy."""

    content = serializers.DictField()


class CheckedOut(serializers.Serializer[Any]):
    """A policy that type-checks."""

    digest = serializers.CharField()
    gates = serializers.IntegerField()
    slots = serializers.IntegerField()


class ReviewsView(ListAPIView[Review]):
    """Reviews of models that the caller may see."""

    serializer_class = ReviewOut
    filter_backends = ()
    queryset = Review.objects.none()

    def get_queryset(self) -> Any:
        """Newest first; `?open=true` for those under way, `?model=` for those of one model."""
        everything = Review.objects.select_related("version__model", "stage", "requested_by").prefetch_related("rounds")
        rows = visible_to(everything, principal_of(self.request), Permission.SEE_MODEL, through="version__model")
        if self.request.query_params.get("open") == "true":
            rows = rows.filter(closed_at=None)
        model = self.request.query_params.get("model")
        return rows.filter(version__model__name=model) if model else rows

    @extend_schema(parameters=[OpenApiParameter("open", bool), OpenApiParameter("model", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The list."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=ReviewIn, responses={201: ReviewDetail})
    def post(self, request: Request) -> Response:
        """Request a review; the answer says what it will take."""
        values = _given(ReviewIn, request)
        by = principal_of(request)
        version = registry.find_version(values["model"], values["version"], by)
        review = request_review(version, _stage(values["stage"]), why=values["why"], due_at=values["due_at"], by=by)
        return Response(_detail(review), status=status.HTTP_201_CREATED)


class ReviewView(APIView):
    """One review."""

    @extend_schema(responses=ReviewDetail)
    def get(self, request: Request, uuid: UUID) -> Response:
        """The review with every requirement and sign-off."""
        return Response(_detail(_review(uuid, request)))


class RoundsView(APIView):
    """Rounds of a review."""

    @extend_schema(request=None, responses={201: ReviewDetail})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Open another round."""
        review = _review(uuid, request)
        open_round(review, by=principal_of(request))
        return Response(_detail(_review(uuid, request)), status=status.HTTP_201_CREATED)


class WithdrawView(APIView):
    """Withdrawing a review."""

    @extend_schema(request=None, responses=ReviewOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Take it back."""
        withdraw_review(_review(uuid, request), by=principal_of(request))
        return Response(ReviewOut(_review(uuid, request)).data)


class SignOffsView(APIView):
    """Sign-offs of a review."""

    @extend_schema(request=SignOffIn, responses={201: SignOffOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Sign, confirming in the same request that it is you. People only: a service token is refused."""
        values = _given(SignOffIn, request)
        by = principal_of(request)
        review = _review(uuid, request)
        earlier = SignOff.objects.filter(idempotency_key=values["idempotency_key"]).first()
        given = confirmed(
            values,
            by,
            lambda proof: sign_off(
                review.current_round,
                values["slot"],
                decision=values["decision"],
                reason=values["reason"],
                reauthentication=proof,
                expected_subject=values["expected_subject"],
                expected_round=values["expected_round"],
                on_behalf_of=values["on_behalf_of"],
                idempotency_key=values["idempotency_key"],
                conditions=[Condition(**one) for one in values["conditions"]],
                by=by,
            ),
            earlier=earlier.reauthentication if earlier else None,
        )
        return Response(SignOffOut(given).data, status=status.HTTP_201_CREATED)


class SignOffWithdrawView(APIView):
    """Taking one's own decision back."""

    @extend_schema(request=ReasonIn, responses=SignOffOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """It stays in the record, struck through."""
        given = withdraw_sign_off(
            _sign_off(uuid, request), reason=_given(ReasonIn, request)["reason"], by=principal_of(request)
        )
        return Response(SignOffOut(given).data)


class DismissView(APIView):
    """Dismissing a request for changes."""

    @extend_schema(request=ReasonIn, responses=SignOffOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Another slot holder sets it aside, with a reason."""
        given = dismiss_changes_request(
            _sign_off(uuid, request), reason=_given(ReasonIn, request)["reason"], by=principal_of(request)
        )
        return Response(SignOffOut(given).data)


class RequirementsView(APIView):
    """What stands between a version and a stage."""

    @extend_schema(parameters=[OpenApiParameter("stage", str)], responses=RequirementOut(many=True))
    def get(self, request: Request, name: str, number: int) -> Response:
        """Every requirement, met or not, also for a version that was never submitted."""
        version = registry.find_version(name, number, principal_of(request))
        found = examine(version, _stage(request.query_params.get("stage", "production")))
        return Response(_requirements(found))


class PromotionsView(APIView):
    """Promotions of a model."""

    @extend_schema(responses=PromotionOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """The newest 100, newest first."""
        model = registry.find_model(name, principal_of(request))
        rows = model.promotions.select_related("model", "version", "stage", "previous", "by")[:100]
        return Response(PromotionOut(rows, many=True).data)

    @extend_schema(request=PromotionIn, responses={201: PromotionOut})
    def post(self, request: Request, name: str) -> Response:
        """Promote; a refusal (409) lists every unmet requirement."""
        values = _given(PromotionIn, request)
        by = principal_of(request)
        version = registry.find_version(name, values["version"], by)
        more = {"expected_previous": values["expected_previous"]} if "expected_previous" in values else {}
        promotion = promote(version, _stage(values["stage"]), by=by, **more)
        return Response(PromotionOut(promotion).data, status=status.HTTP_201_CREATED)


class RollbackView(APIView):
    """Rolling a stage back."""

    @extend_schema(request=RollbackIn, responses={201: PromotionOut})
    def post(self, request: Request, name: str) -> Response:
        """Back to the version before, while its approval stands; a signed decision."""
        values = _given(RollbackIn, request)
        by = principal_of(request)
        model, stage = registry.find_model(name, by), _stage(values["stage"])
        promotion = confirmed(
            values, by, lambda proof: roll_back(model, stage, reason=values["reason"], reauthentication=proof, by=by)
        )
        return Response(PromotionOut(promotion).data, status=status.HTTP_201_CREATED)


class RevocationsView(APIView):
    """Revocations of a model's versions."""

    @extend_schema(responses=RevocationOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """All of them, newest first."""
        model = registry.find_model(name, principal_of(request))
        rows = Revocation.objects.filter(version__model=model).select_related("version__model", "by")
        return Response(RevocationOut(rows, many=True).data)

    @extend_schema(request=RevocationIn, responses={201: RevocationOut})
    def post(self, request: Request, name: str) -> Response:
        """Revoke, confirming in the same request that it is you."""
        values = _given(RevocationIn, request)
        by = principal_of(request)
        version = registry.find_version(name, values["version"], by)
        revocation = confirmed(
            values, by, lambda proof: revoke(version, reason=values["reason"], reauthentication=proof, by=by)
        )
        return Response(RevocationOut(revocation).data, status=status.HTTP_201_CREATED)


class PoliciesView(ListAPIView[PolicyVersion]):
    """Admission policies, all versions."""

    serializer_class = PolicyOut
    filter_backends = ()
    queryset = PolicyVersion.objects.select_related("policy").order_by("policy__name", "-number")

    @extend_schema(request=PolicyIn, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        """Save a draft; everything that is wrong is named, with its position inside an expression (`flaws`)."""
        values = _given(PolicyIn, request)
        draft = draft_policy(values["name"], values["content"], note=values["note"], by=principal_of(request))
        return Response(PolicyOut(draft).data, status=status.HTTP_201_CREATED)


class PolicyView(APIView):
    """One version of a policy."""

    @extend_schema(responses=PolicyOut)
    def get(self, request: Request, name: str, number: int) -> Response:
        """Its text."""
        return Response(PolicyOut(_policy(name, number)).data)


class PolicyCheckView(APIView):
    """Checking a policy."""

    @extend_schema(request=ContentIn, responses=CheckedOut)
    def post(self, request: Request) -> Response:
        """Type-check without saving; 400 names everything that is wrong, with line and column (`flaws`)."""
        permit(principal_of(request), Permission.WRITE_POLICIES)
        document = checked(_given(ContentIn, request)["content"])
        return Response({"digest": document.digest, "gates": len(document.gates), "slots": len(document.slots)})


class PolicyProposeView(APIView):
    """Proposing a draft."""

    @extend_schema(request=None, responses=PolicyOut)
    def post(self, request: Request, name: str, number: int) -> Response:
        """Freeze a draft and put it before its signers, with a rehearsal of what it would change."""
        return Response(PolicyOut(propose_policy(_policy(name, number), by=principal_of(request))).data)


class PolicyTakeBackView(APIView):
    """Taking a proposed policy back."""

    @extend_schema(request=None, responses=PolicyOut)
    def post(self, request: Request, name: str, number: int) -> Response:
        """An author makes a proposed text a draft again."""
        return Response(PolicyOut(take_back_policy(_policy(name, number), by=principal_of(request))).data)


class PolicyRehearsalsView(APIView):
    """Rehearsals of a policy."""

    @extend_schema(request=None, responses={201: RehearsalOut})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Evaluate it on open reviews and replay it over past promotions; what the caller may not see is counted, not named."""
        by = principal_of(request)
        kept = rehearse_policy(_policy(name, number), by=by)
        shown = visible_part(read_result(kept.result), by)
        return Response(
            {"digest": kept.digest, "at": kept.at, "hidden": shown.hidden, "result": shown.found.as_dict()},
            status=status.HTTP_201_CREATED,
        )


class PolicySignaturesView(APIView):
    """Signatures under a policy."""

    @extend_schema(responses=PolicySignatureOut(many=True))
    def get(self, request: Request, name: str, number: int) -> Response:
        """All of them, with their signed statements."""
        rows = _policy(name, number).signatures.select_related("person")
        return Response(PolicySignatureOut(rows, many=True).data)

    @extend_schema(request=PolicySignatureIn, responses={201: PolicySignatureOut})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Approve a proposed policy or send it back, confirming in the same request that it is you. The last approval puts it in force."""
        values = _given(PolicySignatureIn, request)
        by = principal_of(request)
        policy = _policy(name, number)
        given = confirmed(
            values,
            by,
            lambda proof: sign_policy(
                policy,
                decision=values["decision"],
                reason=values["reason"],
                reauthentication=proof,
                expected_rehearsal=values["expected_rehearsal"],
                by=by,
            ),
        )
        return Response(PolicySignatureOut(given).data, status=status.HTTP_201_CREATED)


def _given(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = form(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _review(uuid: UUID, request: Request) -> Review:
    rows = Review.objects.select_related("version__model", "stage", "requested_by")
    review = (
        visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="version__model")
        .filter(uuid=uuid)
        .first()
    )
    if review is None:
        raise NotFound("There is no such review that you may see.")
    return review


def _sign_off(uuid: UUID, request: Request) -> SignOff:
    rows = SignOff.objects.select_related("round__review__version__model", "slot", "person")
    given = (
        visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="round__review__version__model")
        .filter(uuid=uuid)
        .first()
    )
    if given is None:
        raise NotFound("There is no such sign-off that you may see.")
    return given


def _policy(name: str, number: int) -> PolicyVersion:
    found = PolicyVersion.objects.filter(policy__name=name, number=number).select_related("policy").first()
    if found is None:
        raise NotFound(f"There is no version {number} of a policy {name}.")
    return found


def _stage(name: str) -> Stage:
    stage = Stage.objects.filter(name=name).first()
    if stage is None:
        raise NotFound(
            f"There is no stage {name}; the stages are {', '.join(Stage.objects.values_list('name', flat=True))}."
        )
    return stage


def _requirements(found: Evaluation) -> list[dict[str, Any]]:
    return [asdict(requirement) for requirement in found.requirements]


def _detail(review: Review) -> dict[str, Any]:
    found = examine(review.version, review.stage)
    round_ = review.current_round
    round_.review = review
    subject = current_subject(round_) if round_.is_open else None
    sign_offs = SignOff.objects.filter(round__review=review).select_related(
        "slot", "person", "round", "delegation__delegator"
    )
    return {
        "review": ReviewOut(review).data,
        "subject_digest": subject.digest if subject else round_.subject_digest,
        "subject": subject.text if subject else round_.subject,
        "requirements": _requirements(found),
        "nobody_eligible": [{"slot": slot, "why": why} for slot, why in deadlocks(found)] if round_.is_open else [],
        "sign_offs": SignOffOut(sign_offs, many=True).data,
    }
