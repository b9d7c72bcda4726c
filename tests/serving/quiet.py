"""MLflow's tracking store and ours, imported without what SQLAlchemy says of MLflow's tables, which would end the collection."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from serving.tracking_store import GovernedStore

__all__ = ["GovernedStore", "SqlAlchemyStore"]
