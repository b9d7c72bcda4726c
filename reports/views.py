"""The portal's reports: certificates as page and PDF, the check of attestations, and what was decided in a period."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of
from audit.actions import append_alone
from audit.bundle import SCRIPT
from audit.events import Action
from countersign.proof.canonical import sha256_hex
from foundation.keys import model_signing_key, public_pem, registry_signer
from foundation.refusals import Invalid, NotFound, TooLarge
from foundation.spreadsheets import Cell, csv_response
from registry.models import Promotion, Stage
from registry.queries import find_version
from reports import queries
from reports.bundles import bundle_of
from reports.certificate import Certificate, certificate_of
from reports.checking import LARGEST_BYTES, Checked, check
from reports.forms import CheckForm, PeriodForm
from reports.ledger_files import check_receipt, check_uploaded_bundle, is_bundle, is_receipt, ledger_public_keys
from reports.printing import printing
from reports.review_pack import pack_of


@require_GET
def certificate(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The sign-off certificate of a version."""
    found = _certificate(request, name, number)
    return render(request, "reports/certificate.html", {"certificate": found, "version": found.version})


@require_GET
def certificate_pdf(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The same on paper; handing it out is on record."""
    with printing():  # WeasyPrint takes a second to import, which no other page should wait for
        from reports.pdf import pdf_of, printed

    found = _certificate(request, name, number)
    data = pdf_of(printed(found))
    append_alone(
        Action.CERTIFICATE_ISSUE,
        by=principal_of(request),
        obj=found.version.ledger_ref(),
        after={"reference": found.reference, "holds": found.holds.value},
    )
    response = HttpResponse(data, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{found.reference}-{_in_a_filename(name)}-v{number}.pdf"'
    return response


@require_GET
def review_pack(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The review page on paper for a committee, of the stage and beside the version in the address; handing it out is on record."""
    with printing():  # see `certificate_pdf`
        from reports.pdf import pdf_of, printed_pack

    by = principal_of(request)
    stage, base = (request.GET.get(key, "") for key in ("stage", "base"))
    pack = pack_of(find_version(name, number, by), at=timezone.now(), stage=stage, base=base)
    data = pdf_of(printed_pack(pack))
    append_alone(
        Action.REVIEW_PACK_ISSUE,
        by=by,
        obj=pack.version.ledger_ref(),
        after={"stage": pack.page.found.stage.name, "subject": pack.page.subject_digest, "sha256": sha256_hex(data)},
    )
    response = HttpResponse(data, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="review-pack-{_in_a_filename(name)}-v{number}.pdf"'
    return response


@require_GET
def sign_off_bundle(request: HttpRequest, name: str, number: str, digest: str) -> HttpResponse:
    """One signature with all that proves it, as a file to check anywhere."""
    bundle = bundle_of(find_version(name, int(number), principal_of(request)), digest)
    response = JsonResponse(bundle, json_dumps_params={"indent": 1})
    response["Content-Disposition"] = f'attachment; filename="sign-off-{digest[:12]}.json"'
    return response


@login_not_required
@require_GET
def registry_key(request: HttpRequest) -> HttpResponse:
    """The registry's public key, to be pinned by whoever checks; compare its id over another channel."""
    response = HttpResponse(public_pem(registry_signer().public), content_type="application/x-pem-file")
    response["Content-Disposition"] = 'attachment; filename="registry.pub"'
    return response


@login_not_required
@require_GET
def model_signing_public_key(request: HttpRequest) -> HttpResponse:
    """The public key for `model.sig`, for the OpenSSF model-signing tool; compare it over another channel."""
    response = HttpResponse(public_pem(model_signing_key().public_key()), content_type="application/x-pem-file")
    response["Content-Disposition"] = 'attachment; filename="model-signing.pub"'
    return response


@login_not_required
@require_GET
def ledger_keys(request: HttpRequest) -> HttpResponse:
    """The ledger's public keys, one a line, to be pinned by whoever checks; compare their ids over another channel."""
    response = HttpResponse(ledger_public_keys(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="ledger.pub"'
    return response


@login_not_required
@require_GET
def ledger_script(request: HttpRequest) -> HttpResponse:
    """The stand-alone script that checks receipts and bundles of the ledger without us."""
    response = HttpResponse(SCRIPT.read_bytes(), content_type="text/x-python; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="verify.py"'
    return response


@login_not_required
@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Check an attestation, a digest, a receipt or a bundle of the ledger; open to everybody, since an outsider is who needs it."""
    form = CheckForm(request.POST or None, request.FILES or None)
    answer = None
    if request.method == "POST" and form.is_valid():
        try:
            answer = _checked(form, principal_of(request))
        except Invalid as refusal:
            form.add_error("text", refusal.detail)
    return render(request, "reports/verify.html", {"form": form, "answer": answer}, status=400 if form.errors else 200)


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Approvals, promotions and revocations as of a date."""
    by = principal_of(request)
    permit(by, Permission.SEE_MODEL)
    form = PeriodForm(request.GET or None)
    found = queries.decisions(form.period(), by)
    return render(request, "reports/index.html", {"form": form, "found": found, "query": request.GET.urlencode()})


@require_GET
def export(request: HttpRequest, what: str) -> HttpResponse:
    """One of the three lists as CSV."""
    by = principal_of(request)
    permit(by, Permission.SEE_MODEL)
    found = queries.decisions(PeriodForm(request.GET or None).period(), by, most=100_000)
    columns, rows = _TABLES[what](found)
    return csv_response(f"{what}.csv", columns, rows)


def _in_a_filename(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def _certificate(request: HttpRequest, name: str, number: int) -> Certificate:
    wanted = request.GET.get("stage", "")
    stage = Stage.objects.filter(name=wanted).first()
    if wanted and stage is None:
        raise NotFound(f"There is no stage called {wanted[:60]}.")
    asked = request.GET.get("approval", "")
    if asked and not (asked.isdecimal() and len(asked) < 12):
        raise NotFound(f"There is no approval numbered {asked[:20]}.")
    version = find_version(name, number, principal_of(request))
    return certificate_of(version, at=timezone.now(), stage=stage, number=int(asked) if asked else None)


def _checked(form: CheckForm, by: Principal) -> Checked:
    file = form.cleaned_data["file"]
    if file is not None and is_bundle(file):
        return check_uploaded_bundle(file, file.size)
    text = _brought(form)
    return check_receipt(text) if is_receipt(text) else check(text, by=by, at=timezone.now())


def _brought(form: CheckForm) -> str:
    file = form.cleaned_data["file"]
    if file is None:
        return str(form.cleaned_data["text"])
    if file.size > LARGEST_BYTES:
        raise TooLarge("An attestation has at most 5 MB; this file is larger.")
    return str(file.read().decode("utf-8", errors="replace"))


_Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]


def _approvals(found: queries.Decisions) -> _Table:
    columns = (
        "model",
        "version",
        "digest",
        "tier",
        "stage",
        "approved_at",
        "valid_until",
        "state",
        "as_of",
        "released_by",
        "revoked_at",
        "reason",
    )
    rows = [
        (
            one.version.model.name,
            one.version.number,
            one.version.digest,
            one.version.model.tier,
            one.stage.name,
            one.approved_at,
            one.valid_until,
            line.state,
            found.at,
            _by(one.promotion) if one.promotion else "",
            one.revocation.at if one.revocation else None,
            one.revocation.reason if one.revocation else "",
        )
        for line in found.approvals
        for one in (line.approval,)
    ]
    return columns, rows


def _promotions(found: queries.Decisions) -> _Table:
    columns = ("at", "model", "version", "stage", "replaced", "rollback", "by", "release")
    rows = [
        (
            one.at,
            one.version.model.name,
            one.version.number,
            one.stage.name,
            one.previous.number if one.previous else None,
            "yes" if one.rollback else "no",
            _by(one),
            one.release_digest,
        )
        for one in found.promotions
    ]
    return columns, rows


def _by(promotion: Promotion) -> str:
    return str(promotion.by or "the clock")


def _revocations(found: queries.Decisions) -> _Table:
    columns = ("at", "model", "version", "by", "reason")
    return columns, [
        (one.at, one.version.model.name, one.version.number, str(one.by), one.reason) for one in found.revocations
    ]


_TABLES = {"approvals": _approvals, "promotions": _promotions, "revocations": _revocations}
