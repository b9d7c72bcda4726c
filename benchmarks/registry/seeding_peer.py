"""Makes the models of `benchmarks.registry.content` in MLflow's own tables: `python -m benchmarks.registry.seeding_peer URI VERSIONS`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert, text

from benchmarks.registry.content import model_count, model_name, placed

AT_ONCE = 5_000


def main(uri: str, versions: int) -> None:
    """Create the tables and fill them, past the store: its own calls would take an hour."""
    store: Any = SqlAlchemyStore(uri)  # type: ignore[no-untyped-call]  # MLflow's
    now = int(time.time() * 1_000)
    with store.engine.begin() as connection:

        def fill(table: Any, rows: Iterable[dict[str, Any]]) -> None:
            left = iter(rows)
            while some := list(islice(left, AT_ONCE)):
                connection.execute(insert(table), some)

        here = {"workspace": "default"}
        dated = here | {"creation_time": now, "last_updated_time": now}
        models = range(model_count(versions))
        fill(SqlRegisteredModel, (dated | {"name": model_name(index), "description": ""} for index in models))
        fill(SqlModelVersion, (_version(dated, model, number) for model, number, _ in placed(versions)))
        fill(
            SqlModelVersionTag,
            (
                here | {"name": model_name(model), "version": number, "key": key, "value": value}
                for model, number, tags in placed(versions)
                for key, value in tags.items()
            ),
        )
        fill(
            SqlRegisteredModelAlias,
            (here | {"name": model_name(index), "alias": "trial", "version": 1} for index in models),
        )
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _version(dated: dict[str, Any], model: int, number: int) -> dict[str, Any]:
    return dated | {
        "name": model_name(model),
        "version": number,
        "current_stage": "None",
        "source": f"mlflow-artifacts:/seeded/{model_name(model)}/{number}",
        "status": "READY",
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
