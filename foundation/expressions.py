"""SQL that Django's lookups cannot say: patterns that mean the same on every database, and the beginning of a long text."""

from __future__ import annotations

from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, TextField, Value
from django.db.models.sql.compiler import SQLCompiler

BEGINNING_CHARACTERS: Final = 100
_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class Beginning(Func):
    """The first 100 characters of a text: short enough for an index, in a form that databases match with that index."""

    template = f"substr(%(expressions)s, 1, {BEGINNING_CHARACTERS})"
    arity = 1
    output_field = TextField()


class _Matches(Func):
    """Whether a column matches a pattern of SQL's LIKE: % is any text, _ any character, and nothing escapes them."""

    template = "(%(expressions)s ESCAPE '')"
    output_field = BooleanField()

    def __init__(self, column: str, pattern: str) -> None:
        super().__init__(F(column), Value(pattern))
        self._pattern = pattern


class Like(_Matches):
    """Whether a column matches a pattern, where case counts."""

    arg_joiner = " LIKE "

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """SQLite's LIKE ignores case, its GLOB does not."""
        column, _ = self.get_source_expressions()
        sql, params = compiler.compile(column)
        return f"({sql} GLOB %s)", (*params, self._pattern.translate(_GLOB))


class ILike(_Matches):
    """Whether a column matches a pattern, whatever the case of its letters (on SQLite: of a to z)."""

    arg_joiner = " ILIKE "

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """SQLite's LIKE ignores case and knows no escape unless one is named."""
        sql, params = self.as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" LIKE ", **extra)
        return sql, tuple(params)
