"""Errors of all API endpoints as RFC 9457 problem JSON."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import set_rollback

from config.middleware import by_rule
from foundation.refusals import PROBLEM_TYPE_BASE, Forbidden, NotFound, Refusal

PROBLEM_JSON = "application/problem+json"


def problem_response(exception: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to any refusal or framework error inside an API view; `None` lets a real error through to the 500 page."""
    path = context["request"].path if context.get("request") else ""
    if isinstance(exception, Http404):
        exception = NotFound("There is nothing at this address that you may see.")
    if isinstance(exception, PermissionDenied):
        exception = Forbidden(str(exception) or "You may not do this.")
    if isinstance(exception, Refusal):
        set_rollback()
        problem = exception.as_problem(instance=path)
        return by_rule(Response(problem, status=exception.status, content_type=PROBLEM_JSON), exception)
    if not isinstance(exception, APIException):
        return None
    set_rollback()
    problem = {
        "type": PROBLEM_TYPE_BASE + str(exception.default_code).replace("_", "-"),
        "title": HTTPStatus(exception.status_code).phrase,
        "status": exception.status_code,
        "detail": str(exception.detail)
        if not isinstance(exception, ValidationError)
        else "Some fields need correcting; see errors.",
        "instance": path,
    }
    if isinstance(exception, ValidationError):
        problem["errors"] = exception.detail
    response = Response(problem, status=exception.status_code, content_type=PROBLEM_JSON)
    wait = getattr(exception, "wait", None)
    if wait:
        response["Retry-After"] = str(int(wait))
    challenge = getattr(exception, "auth_header", None)
    if challenge:
        response["WWW-Authenticate"] = challenge
    return response
