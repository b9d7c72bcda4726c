"""What the file `MLmodel` may say, and what it says: one flavour, plain paths inside the version, our loaders, a signature.

Pure. Source: what MLflow 3.17 writes. The keys are closed: an unknown one is refused, since a reader might act on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from countersign.proof.manifest import Problem, path_problem
from registry.skops_file import Finding, type_finding
from registry.strict import read_json, read_yaml

NAME: Final = "MLmodel"
FLAVOURS: Final = ("sklearn", "xgboost", "lightgbm", "onnx")
SUFFIXES: Final = {
    "skops": (".skops",),
    "pickle": (".pkl", ".pickle"),
    "cloudpickle": (".pkl", ".pickle"),
}
PREDICT_FUNCTIONS: Final = frozenset(
    {
        "predict",
        "predict_proba",
        "predict_log_proba",
        "predict_joint_log_proba",
        "score",
        "transform",
        "decision_function",
    }
)
TOP_KEYS: Final = frozenset(
    {
        "artifact_path",
        "flavors",
        "is_signature_from_type_hint",
        "metadata",
        "mlflow_version",
        "model_id",
        "model_size_bytes",
        "model_uuid",
        "prompts",
        "run_id",
        "saved_input_example_info",
        "signature",
        "type_hint_from_example",
        "utc_time_created",
    }
)
PYFUNC_KEYS: Final = frozenset({"code", "data", "env", "loader_module", "model_path", "predict_fn", "python_version"})
FLAVOUR_KEYS: Final[dict[str, frozenset[str]]] = {
    "sklearn": frozenset({"code", "pickled_model", "serialization_format", "sklearn_version", "skops_trusted_types"}),
    "xgboost": frozenset({"code", "data", "model_class", "model_format", "xgb_version"}),
    "lightgbm": frozenset(
        {"code", "data", "lgb_version", "model_class", "serialization_format", "skops_trusted_types"}
    ),
    "onnx": frozenset({"code", "data", "onnx_session_options", "onnx_version", "providers"}),
}
EXAMPLE_KEYS: Final = frozenset({"artifact_path", "format", "pandas_orient", "serving_input_path", "type"})
_CLASS: Final = re.compile(r"(xgboost|lightgbm)\.[A-Za-z_.]{1,60}")
_VERSION: Final = re.compile(r"[0-9A-Za-z.+-]{1,40}")


@dataclass(slots=True)
class Description:
    """What an MLmodel says, with everything that was found against it. `model_file` is empty where it names none."""

    flavour: str = ""
    serialization: str = ""
    model_file: str = ""
    signature: dict[str, Any] | None = None
    named: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    unserved: list[Problem] = field(default_factory=list)

    def refuse(self, code: str, detail: str) -> None:
        """Add a reason to refuse the version."""
        self.problems.append(Problem(code, NAME, detail))


def read(data: bytes, paths: Set[str]) -> Description:
    """What the MLmodel in `data` says of a version with these paths."""
    description = Description()
    try:
        value = read_yaml(data)
    except ValueError as error:
        description.refuse("mlmodel-yaml", f"MLmodel is not read: {error}.")
        return description
    if not isinstance(value, dict):
        description.refuse("mlmodel-yaml", "MLmodel is not a mapping.")
        return description
    _closed(description, "MLmodel", value, TOP_KEYS)
    flavours = value.get("flavors")
    if not isinstance(flavours, dict):
        description.refuse("mlmodel-flavour", "MLmodel names no flavours.")
        return description
    _read_flavours(description, flavours)
    _check_paths(description, value, flavours, paths)
    _read_signature(description, value.get("signature"))
    return description


def _closed(description: Description, where: str, value: Mapping[str, Any], keys: Set[str]) -> None:
    for key in sorted(set(value) - keys):
        description.refuse("mlmodel-key", f"{where} has the key “{key[:60]}”, which is not known here.")


def _read_flavours(description: Description, flavours: Mapping[str, Any]) -> None:
    own = sorted(set(flavours) - {"python_function"})
    if len(own) != 1 or own[0] not in FLAVOURS:
        description.refuse(
            "mlmodel-flavour",
            f"MLmodel has the flavours {', '.join(sorted(flavours)) or 'none'}; exactly one of {', '.join(FLAVOURS)} is taken, beside "
            "python_function.",
        )
        return
    description.flavour = own[0]
    flavour, pyfunc = flavours[own[0]], flavours.get("python_function", {})
    if not isinstance(flavour, dict) or not isinstance(pyfunc, dict):
        description.refuse("mlmodel-flavour", "A flavour of MLmodel is not a mapping.")
        return
    _closed(description, f"The flavour {own[0]}", flavour, FLAVOUR_KEYS[own[0]])
    _closed(description, "The flavour python_function", pyfunc, PYFUNC_KEYS)
    _check_pyfunc(description, pyfunc)
    for part in (flavour, pyfunc):
        if part.get("code") is not None:
            description.refuse(
                "mlmodel-code", "MLmodel asks to load code from the version; bring the code as a package instead."
            )
    _READERS[own[0]](description, flavour)


def _check_pyfunc(description: Description, pyfunc: Mapping[str, Any]) -> None:
    if not pyfunc:
        return
    loader = pyfunc.get("loader_module")
    if loader != f"mlflow.{description.flavour}":
        description.refuse(
            "mlmodel-loader",
            f"MLmodel names the loader {str(loader)[:80]!r}; for this flavour it is mlflow.{description.flavour} and nothing else.",
        )
    if pyfunc.get("predict_fn", "predict") not in PREDICT_FUNCTIONS:
        description.refuse(
            "mlmodel-predict", f"MLmodel names the function {str(pyfunc['predict_fn'])[:60]!r} to predict with."
        )
    if not _VERSION.fullmatch(str(pyfunc.get("python_version", "3"))):
        description.refuse("mlmodel-key", "MLmodel's python_version is not a version.")


def _read_sklearn(description: Description, flavour: Mapping[str, Any]) -> None:
    _read_serialized(description, flavour, "pickled_model")


def _read_lightgbm(description: Description, flavour: Mapping[str, Any]) -> None:
    _check_class(description, flavour)
    if flavour.get("serialization_format") is None:
        _read_data(description, flavour)
    else:
        _read_serialized(description, flavour, "data")
    _not_served(description)


def _read_xgboost(description: Description, flavour: Mapping[str, Any]) -> None:
    _check_class(description, flavour)
    _read_data(description, flavour)
    _not_served(description)


def _read_onnx(description: Description, flavour: Mapping[str, Any]) -> None:
    _read_data(description, flavour)
    _not_served(description)


_READERS: Final[dict[str, Callable[[Description, Mapping[str, Any]], None]]] = {
    "sklearn": _read_sklearn,
    "xgboost": _read_xgboost,
    "lightgbm": _read_lightgbm,
    "onnx": _read_onnx,
}


def _read_serialized(description: Description, flavour: Mapping[str, Any], key: str) -> None:
    description.model_file = str(flavour.get(key) or "")
    serialization = flavour.get("serialization_format")
    if serialization not in SUFFIXES:
        description.refuse(
            "mlmodel-serialization",
            f"MLmodel does not say how the model is written (serialization_format is {str(serialization)[:40]!r}); a reader would guess.",
        )
        return
    description.serialization = serialization
    if not description.model_file.endswith(SUFFIXES[serialization]):
        description.refuse(
            "mlmodel-serialization",
            f"MLmodel says {serialization} and names the file {description.model_file[:80]!r}; the two disagree.",
        )
    if serialization != "skops":
        description.unserved.append(
            Problem(
                "pickle-unserved",
                description.model_file,
                f"The model is written with {serialization}, which can run anything when it is loaded. It can be registered and pulled, "
                'but not served yet; save it with serialization_format="skops" to serve it here.',
            )
        )
    _check_trusted_types(description, flavour.get("skops_trusted_types"))


def _check_trusted_types(description: Description, types: Any) -> None:
    if types is None:
        return
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
        description.refuse("mlmodel-trusted", "MLmodel's skops_trusted_types is not a list of names.")
        return
    for finding in _findings(types):
        if finding.refuses:
            description.refuse("mlmodel-trusted", f"MLmodel asks to trust more than we do. {finding.detail}")
        else:
            description.unserved.append(Problem(finding.code, NAME, finding.detail))


def _findings(types: list[str]) -> Iterator[Finding]:
    yield from (finding for one in types if (finding := type_finding(one)))


def _read_data(description: Description, flavour: Mapping[str, Any]) -> None:
    description.model_file = str(flavour.get("data") or "")


def _check_class(description: Description, flavour: Mapping[str, Any]) -> None:
    model_class = flavour.get("model_class")
    if model_class is not None and not _CLASS.fullmatch(str(model_class)):
        description.refuse(
            "mlmodel-class", f"MLmodel names the class {str(model_class)[:80]!r}, which is not one of its library's."
        )


def _not_served(description: Description) -> None:
    description.unserved.append(
        Problem(
            "flavour-unserved",
            description.model_file,
            f"Models of the flavour {description.flavour} can be registered and pulled, but not served yet.",
        )
    )


def _check_paths(
    description: Description, value: Mapping[str, Any], flavours: Mapping[str, Any], paths: Set[str]
) -> None:
    """Every path that MLmodel names lies inside the version and is there."""
    if description.flavour and not description.model_file:
        description.refuse("mlmodel-path", "MLmodel does not name the model's file.")
    for path in _named_paths(description, value, flavours):
        if not isinstance(path, str) or path_problem(path):
            description.refuse(
                "mlmodel-path", f"MLmodel names the path {str(path)[:80]!r}, which does not lie inside the version."
            )
        elif path not in paths:
            description.refuse("mlmodel-path", f"MLmodel names {path}, which the version does not hold.")
        else:
            description.named.add(path)


def _named_paths(description: Description, value: Mapping[str, Any], flavours: Mapping[str, Any]) -> Iterator[Any]:
    if description.model_file:
        yield description.model_file
    pyfunc = flavours.get("python_function")
    if isinstance(pyfunc, dict):
        yield from (pyfunc[key] for key in ("data", "model_path") if pyfunc.get(key) is not None)
        if any(pyfunc.get(key) not in (None, description.model_file) for key in ("data", "model_path")):
            description.refuse(
                "mlmodel-path", "MLmodel names one model file for its flavour and another for python_function."
            )
        yield from _environment_paths(description, pyfunc.get("env"))
    example = value.get("saved_input_example_info")
    if isinstance(example, dict):
        _closed(description, "saved_input_example_info", example, EXAMPLE_KEYS)
        yield from (example[key] for key in ("artifact_path", "serving_input_path") if example.get(key) is not None)


def _environment_paths(description: Description, environment: Any) -> Iterator[Any]:
    if isinstance(environment, dict):
        _closed(description, "env", environment, frozenset({"conda", "virtualenv"}))
        yield from environment.values()
    elif environment is not None:
        yield environment


def _read_signature(description: Description, signature: Any) -> None:
    if signature is None:
        return
    if not isinstance(signature, dict):
        description.refuse("mlmodel-signature", "MLmodel's signature is not a mapping.")
        return
    _closed(description, "signature", signature, frozenset({"inputs", "outputs", "params"}))
    try:
        columns = {key: _columns(signature.get(key)) for key in ("inputs", "outputs", "params")}
    except ValueError as error:
        description.refuse("mlmodel-signature", f"MLmodel's signature is not read: {error}.")
        return
    description.signature = {"inputs": columns["inputs"], "outputs": columns["outputs"]}
    if columns["params"]:
        description.signature["params"] = columns["params"]


def _columns(text: Any) -> list[Any]:
    if text is None:
        return []
    value = read_json(str(text).encode())
    if not isinstance(value, list):
        raise ValueError("it is not a list of columns")
    return value
