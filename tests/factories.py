"""Genuine things that are slow to make, made once per test session: a tiny scikit-learn model as MLflow writes it."""

from __future__ import annotations

import functools
import io
import tempfile
import warnings
from pathlib import Path

from countersign.proof.manifest import ManifestFile
from registry.store import ArtifactStore

COLUMNS = ("age", "hours")


@functools.cache
def tiny_model_files() -> dict[str, bytes]:
    """Path → bytes of a folder that `mlflow.sklearn.save_model` wrote: a scaler and a logistic regression on two columns, skops."""
    from sklearn.linear_model import LogisticRegression

    return saved_model_files(LogisticRegression())


def saved_model_files(
    classifier: object, *, serialization_format: str = "skops", **options: object
) -> dict[str, bytes]:
    """Path → bytes of what MLflow writes for a pipeline of a scaler and `classifier`, fitted on 80 rows with a fixed seed."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # MLflow and its libraries warn about their own future; not what is tested here
        import mlflow.sklearn
        import numpy as np
        import pandas as pd
        from mlflow.models import infer_signature
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        random = np.random.default_rng(7)
        rows = pd.DataFrame({"age": random.normal(40, 10, 80), "hours": random.normal(35, 5, 80)})
        target = (rows.age + rows.hours + random.normal(0, 5, 80) > 75).astype(int)
        pipeline = make_pipeline(StandardScaler(), classifier).fit(rows, target)
        target_folder = Path(folder) / "model"
        mlflow.sklearn.save_model(
            pipeline,
            str(target_folder),
            serialization_format=serialization_format,
            signature=infer_signature(rows, pipeline.predict_proba(rows)),
            pyfunc_predict_fn="predict_proba",
            pip_requirements=["scikit-learn==1.9.1", "skops==0.16.0"],
            **options,
        )
        return {
            path.relative_to(target_folder).as_posix(): path.read_bytes()
            for path in sorted(target_folder.rglob("*"))
            if path.is_file()
        }


def store_files(files: dict[str, bytes], store: ArtifactStore | None = None) -> list[ManifestFile]:
    """Write path → bytes into the store and return the manifest's rows."""
    store = store or ArtifactStore()
    rows = []
    for path, data in sorted(files.items()):
        stored = store.write(io.BytesIO(data))
        rows.append(ManifestFile(path, stored.size, stored.digest))
    return rows


def stored_tiny_model(store: ArtifactStore | None = None) -> list[ManifestFile]:
    """The tiny model in the store, as the rows of a manifest: what `register_version` takes."""
    return store_files(tiny_model_files(), store)
