"""Which calls of MLflow's tracking store there are here, what each needs, and where its arguments say what it is about.

Pure, so that a test can read the table and hold it against the store. A call that is not named here is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serving.tracking_models import Level

Arguments = Mapping[str, Any]


class Kind(StrEnum):
    """What belongs to an experiment."""

    EXPERIMENT = "experiment"
    RUN = "run"
    MODEL = "logged model"
    TRACE = "trace"
    NEW_TRACE = "trace that may not exist yet"
    DATASET = "dataset"


Subject = tuple[Kind, str]
Subjects = Callable[[Arguments], Iterable[Subject]]


@dataclass(frozen=True, slots=True)
class Call:
    """`level`: what the caller needs on the experiments of `subjects`. None: only what is found is narrowed to what they read."""

    level: Level | None
    subjects: Subjects


def _nothing(_: Arguments) -> Iterable[Subject]:
    return ()


def _one(kind: Kind, name: str) -> Subjects:
    return lambda given: [(kind, str(given[name]))] if given.get(name) is not None else []


def _all(*parts: Subjects) -> Subjects:
    return lambda given: [subject for part in parts for subject in part(given)]


def _each(kind: Kind, name: str) -> Subjects:
    return lambda given: [(kind, str(one)) for one in given.get(name) or ()]


def _measured(given: Arguments) -> Iterator[Subject]:
    """The logged models that metrics are about besides their run."""
    metrics = [given["metric"]] if "metric" in given else given.get("metrics") or ()
    yield from ((Kind.MODEL, metric.model_id) for metric in metrics if metric.model_id)


def _started(given: Arguments) -> Iterator[Subject]:
    trace = given["trace_info"]
    yield Kind.EXPERIMENT, str(trace.experiment_id)
    yield Kind.NEW_TRACE, str(trace.trace_id)


def _spanned(given: Arguments) -> Iterator[Subject]:
    yield Kind.EXPERIMENT, str(given["location"])
    yield from ((Kind.NEW_TRACE, trace) for trace in {str(span.trace_id) for span in given["spans"]})


def _assessed(given: Arguments) -> Iterator[Subject]:
    yield Kind.TRACE, str(given["assessment"].trace_id)


_EXPERIMENT: Final = _one(Kind.EXPERIMENT, "experiment_id")
_RUN: Final = _one(Kind.RUN, "run_id")
_MODEL: Final = _one(Kind.MODEL, "model_id")
_TRACE: Final = _one(Kind.TRACE, "trace_id")
_DATASET: Final = _one(Kind.DATASET, "dataset_id")
_EXPERIMENTS: Final = _each(Kind.EXPERIMENT, "experiment_ids")
_LINKED: Final = _all(_RUN, _each(Kind.TRACE, "trace_ids"))

_SEARCHES: Final = (
    "batch_get_trace_infos", "batch_get_traces", "calculate_trace_filter_correlation", "filter_active_experiment_ids",
    "find_completed_sessions", "get_experiment_by_name", "get_metric_history_bulk", "get_metric_history_bulk_interval",
    "query_trace_metrics", "search_datasets", "search_entities_by_destination", "search_entities_by_source", "search_experiments",
    "search_logged_models", "search_runs", "search_traces",
)  # fmt: skip
_READS: Final[Mapping[str, Subjects]] = {
    "get_assessment": _TRACE,
    "get_dataset": _DATASET,
    "get_dataset_experiment_ids": _DATASET,
    "get_experiment": _EXPERIMENT,
    "get_logged_model": _MODEL,
    "get_max_step_for_metric": _RUN,
    "get_metric_history": _RUN,
    "get_metric_history_bulk_interval_from_steps": _RUN,
    "get_run": _RUN,
    "get_trace": _TRACE,
    "get_trace_info": _TRACE,
    "set_model_versions_tags": _MODEL,  # MLflow's note of what was registered from it, by whoever registers
}
_WRITES: Final[Mapping[str, Subjects]] = {
    "add_dataset_to_experiments": _all(_DATASET, _EXPERIMENTS),
    "create_assessment": _assessed,
    "create_dataset": _EXPERIMENTS,
    "create_logged_model": _EXPERIMENT,
    "create_run": _EXPERIMENT,
    "delete_assessment": _TRACE,
    "delete_dataset": _DATASET,
    "delete_dataset_records": _DATASET,
    "delete_dataset_tag": _DATASET,
    "delete_experiment_tag": _EXPERIMENT,
    "delete_logged_model": _MODEL,
    "delete_logged_model_tag": _MODEL,
    "delete_run": _RUN,
    "delete_tag": _RUN,
    "delete_trace_tag": _TRACE,
    "delete_traces": _EXPERIMENT,
    "deprecated_end_trace_v2": _one(Kind.TRACE, "request_id"),
    "deprecated_start_trace_v2": _EXPERIMENT,
    "finalize_logged_model": _MODEL,
    "link_prompts_to_trace": _TRACE,
    "link_traces_to_run": _LINKED,
    "log_batch": _all(_RUN, _measured),
    "log_inputs": _RUN,
    "log_logged_model_params": _MODEL,
    "log_metric": _all(_RUN, _measured),
    "log_outputs": _RUN,
    "log_param": _RUN,
    "log_spans": _spanned,
    "record_logged_model": _RUN,
    "remove_dataset_from_experiments": _all(_DATASET, _EXPERIMENTS),
    "restore_run": _RUN,
    "set_dataset_tags": _DATASET,
    "set_experiment_tag": _EXPERIMENT,
    "set_logged_model_tags": _MODEL,
    "set_tag": _RUN,
    "set_trace_tag": _TRACE,
    "start_trace": _started,
    "unlink_traces_from_run": _LINKED,
    "update_assessment": _TRACE,
    "update_run_info": _RUN,
    "upsert_dataset_records": _DATASET,
}
_MANAGED: Final = ("delete_experiment", "rename_experiment", "restore_experiment")

CALLS: Final[Mapping[str, Call]] = {
    **{name: Call(None, _nothing) for name in _SEARCHES},
    **{name: Call(Level.READ, subjects) for name, subjects in _READS.items()},
    **{name: Call(Level.WRITE, subjects) for name, subjects in _WRITES.items()},
    **{name: Call(Level.MANAGE, _EXPERIMENT) for name in _MANAGED},
    "create_experiment": Call(None, _nothing),
}

INNER: Final = frozenset(
    {
        "end_async_logging", "flush_async_logging", "log_batch_async", "log_metric_async", "log_param_async", "log_spans_async",
        "resolve_trace_archival_config", "sanitize_metric_value", "set_tag_async", "shut_down_async_logging",
    }
)  # fmt: skip
"""What touches nobody's experiment, or only by a call of `CALLS`."""
