"""How the OpenAPI description names the ways to sign in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class PrincipalScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers by subclass
    """How the OpenAPI description names the ways to sign in."""

    target_class = "access.authentication.PrincipalAuthentication"
    name = ["ServiceToken", "ServiceTokenAsPassword", "Session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        """One definition for each name."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "cs_<prefix>_<secret>"},
            {"type": "http", "scheme": "basic", "description": "Any user name; the service token as password."},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": "sessionid",
                "description": "With an X-CSRFToken header for changes.",
            },
        ]
