"""Decides how a page's signature is confirmed, the same way for everything that is signed: by passkey, code or password.

A view has a form that extends `reviews.forms.ReauthenticatedForm`, a template with `{% include "reviews/_confirm.html" %}` inside
the `<form method="post">` (the passkey's script comes with base.html), and the action as a function of its confirmation:

```python
form = RevokeForm(request.POST or None, person=person_signing(by), accepted=rules.reauthentication)
answer = None
if request.method == "POST":
    answer = confirmation(
        request, form, by, lambda proof: revoke(version, reason=form.cleaned_data["reason"], reauthentication=proof, by=by)
    )
    if answer.response is not None:  # the passkey's script asked for the challenge
        return answer.response
    if answer.ok:
        tell_receipt(request, answer.result.receipt, by)
        return redirect(...)
return render(request, "….html", {"form": form}, status=answer.status if answer else 200)
```

With a passkey the form is posted twice. First by the script with `prepare=passkey`: the action runs up to its statement, is undone,
and the statement's digest goes back as the challenge. Then as an ordinary POST with the `assertion`: the action runs again, and
what it would record must be the statement that was signed. Whatever is refused stands beside its field or over the form
(`answer.refusal` has the rest); nothing was recorded then. The function is called with valid `form.cleaned_data` only, and must
come to the same statement for the same inputs: no randomness and no clock besides `proof`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse

from access import passkeys
from access.models import Reauthentication, User
from access.principal import Principal
from access.stepup import Confirmation, Rehearsal, StatementReady, reauthenticate
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal, Unauthenticated
from reviews.forms import ReauthenticatedForm, show_refusal

T = TypeVar("T")


@dataclass(frozen=True)
class Confirmed(Generic[T]):
    """What became of a POST that asks for a signature.

    `response`: answer with it as it is. `ok`: the action is done, `result` is what it returned. Else the form carries what is
    wrong, to be shown with `status`; `refusal` is there where the action refused.
    """

    ok: bool = False
    result: T | None = None
    response: HttpResponse | None = None
    refusal: Refusal | None = None
    status: int = 400


def confirmation(
    request: HttpRequest,
    form: ReauthenticatedForm,
    by: Principal,
    act: Callable[[Confirmation], T],
    *,
    earlier: Reauthentication | None = None,
) -> Confirmed[T]:
    """Check who it is and carry out `act`; see above.

    `earlier`: the confirmation of the same decision where its idempotency key was seen before; `act` then returns what it gave.
    """
    valid = form.is_valid()
    if form.preparing:
        return Confirmed(response=_prepared(form, by, act, valid=valid))
    if not valid:
        return Confirmed()
    try:
        return Confirmed(ok=True, result=act(earlier or _proof(form, by, act)), status=200)
    except Refusal as refusal:
        show_refusal(form, refusal)
        return Confirmed(refusal=refusal, status=refusal.status)


def person_signing(by: Principal) -> User:
    """The person who is about to sign."""
    if by.user is None:
        raise Unauthenticated("Sign in first.")
    if not by.user.is_person:
        raise Forbidden("Service accounts do not sign; a person has to.", code="not-a-person")
    return by.user


def _proof(form: ReauthenticatedForm, by: Principal, act: Callable[[Confirmation], T]) -> Reauthentication:
    """Check the secret or the passkey's answer; a wrong one is counted. Where the passkey was not asked, `act` may say why."""
    person = person_signing(by)
    if form.why_no_method:
        raise Conflict(form.why_no_method, code="no-method", link="/me/")
    if form.chosen == "passkey" and not form.cleaned_data["assertion"]:
        options(person, act)
        raise Invalid(
            "Your passkey has not signed yet. Press the button again and follow your browser.", code="not-signed"
        )
    if form.chosen == "passkey":
        return passkeys.finish(person, form.cleaned_data["assertion"], by=by)
    return reauthenticate(person, method=form.chosen, secret=form.cleaned_data["secret"], by=by)


def _prepared(
    form: ReauthenticatedForm, by: Principal, act: Callable[[Confirmation], T], *, valid: bool
) -> HttpResponse:
    """The challenge for the passkey, or what stands in the way of signing, as JSON for the script."""
    try:
        if not valid:
            errors = {name: str(problems[0]) for name, problems in form.errors.items()}
            raise Invalid("Please correct what is marked.", errors=errors)
        if not form.offers_passkey:
            raise Conflict(form.why_no_method or "Confirm in another way here.", code="no-passkey", link="/me/")
        return JsonResponse({"publicKey": options(person_signing(by), act)})
    except Refusal as refusal:
        return JsonResponse(refusal.as_problem(), status=refusal.status, content_type="application/problem+json")


def options(person: User, act: Callable[[Confirmation], T]) -> dict[str, object]:
    """What the passkey is asked for, to sign what `act` would record now (PublicKeyCredentialRequestOptions in JSON)."""
    try:
        act(Rehearsal.now())
    except StatementReady as ready:
        return passkeys.begin(person, ready)
    raise Conflict("This is signed already. Look at the page again.", code="already-signed")
