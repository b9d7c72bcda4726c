"""The committed OpenAPI document says what the API is now (`make openapi` writes it)."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command


def test_the_committed_document_is_what_the_code_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "openapi.yaml"

    call_command("spectacular", file=str(written), validate=True, fail_on_warn=True)

    committed = Path(__file__).parents[2] / "docs" / "openapi.yaml"
    assert written.read_text() == committed.read_text(), "run `make openapi` and commit docs/openapi.yaml"
