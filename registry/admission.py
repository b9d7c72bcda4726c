"""Which files are let in: refuse by default, each refusal with a reason code. Decides for the worker that scans a new version.

Pure: reads the bytes it is given and nothing else; imports, constructs and unpickles nothing. What it does not know it
refuses; what it knows and our workers do not load it admits and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

from countersign.proof.manifest import ManifestFile, Problem, manifest_digest
from registry import mlmodel, skops_file
from registry.manifest import Limits, tree_problems
from registry.strict import MAX_YAML_BYTES, read_json, read_yaml

ADMITTED: Final = "admitted"
REFUSED: Final = "refused"
MAX_JSON_BYTES: Final = 16 * 1024**2
SIDECARS: Final = frozenset(
    {
        mlmodel.NAME,
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "registered_model_meta",
        "requirements.txt",
        "serving_input_example.json",
    }
)
_PIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?==[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_LOOSE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?((===?|<=|>=|~=|!=|<|>|=)[0-9A-Za-z.!+_*-]+)?"
)

Open = Callable[[ManifestFile], BinaryIO]


@dataclass(frozen=True, slots=True)
class Examination:
    """What the scan says. `reasons` of an admitted version say why it is not served; of a refused one, why it is refused."""

    verdict: str
    servable: bool
    reasons: tuple[Problem, ...] = ()
    flavour: str = ""
    signature: dict[str, Any] | None = None
    manifest_digest: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def admitted(self) -> bool:
        """Whether the version may leave quarantine."""
        return self.verdict == ADMITTED

    @property
    def codes(self) -> list[str]:
        """The reason codes, each once, in order."""
        return list(dict.fromkeys(reason.code for reason in self.reasons))

    @property
    def summary(self) -> str:
        """The reasons as sentences for the version's status; empty when there is nothing to say."""
        return " ".join(
            f"{reason.path}: {reason.detail}" if reason.path else reason.detail for reason in self.reasons[:10]
        )

    def content(self) -> dict[str, Any]:
        """The examination as evidence."""
        return {
            "verdict": self.verdict,
            "servable": self.servable,
            "flavour": self.flavour,
            "reasons": [reason.row() for reason in self.reasons],
            "limits": dict(self.limits),
        }

    def wire(self) -> dict[str, Any]:
        """The whole examination as plain JSON, for the pipe between the scanning process and the one that waits for it."""
        return self.content() | {"signature": self.signature, "manifest_digest": self.manifest_digest}

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Examination:
        """What `wire` wrote; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        if value["verdict"] not in (ADMITTED, REFUSED) or not isinstance(value["servable"], bool):
            raise ValueError("The scan gave no verdict.")
        return cls(
            verdict=value["verdict"],
            servable=value["servable"] and value["verdict"] == ADMITTED,
            reasons=tuple(Problem(str(row["code"]), str(row["path"]), str(row["detail"])) for row in value["reasons"]),
            flavour=str(value["flavour"]),
            signature=value["signature"],
            manifest_digest=str(value["manifest_digest"]),
            limits=dict(value["limits"]),
        )


def refusal(files: Sequence[ManifestFile], limits: Limits, reasons: Iterable[Problem]) -> Examination:
    """A refused examination of these files."""
    return Examination(
        REFUSED, servable=False, reasons=tuple(reasons), manifest_digest=manifest_digest(files), limits=asdict(limits)
    )


def examine(files: Sequence[ManifestFile], open_file: Open, limits: Limits = Limits()) -> Examination:  # noqa: B008 - frozen
    """Examine every file of a version; `open_file` gives its bytes."""
    problems = tree_problems(files, limits)
    problems += [
        Problem("code", file.path, "A version brings no code: install it as a package where the model is loaded.")
        for file in files
        if "code" in file.path.lower().split("/")[:-1]
    ]
    by_path = {file.path: file for file in files}
    if problems or mlmodel.NAME not in by_path:
        problems += [] if mlmodel.NAME in by_path else [_no_mlmodel()]
        return refusal(files, limits, problems)
    description = _describe(by_path, open_file)
    problems = description.problems + _unknown_files(files, description) + _check_sidecars(by_path, open_file)
    unserved = list(description.unserved)
    if description.serialization == "skops" and description.model_file in by_path:
        refused, kept = _check_skops(by_path[description.model_file], open_file)
        problems += refused
        unserved += kept
    if problems:
        return refusal(files, limits, problems)
    return Examination(
        ADMITTED,
        servable=not unserved,
        reasons=tuple(unserved),
        flavour=description.flavour,
        signature=description.signature,
        manifest_digest=manifest_digest(files),
        limits=asdict(limits),
    )


def _no_mlmodel() -> Problem:
    return Problem("mlmodel-missing", "", "A version is a folder that MLflow wrote: the file MLmodel is missing.")


def _describe(by_path: Mapping[str, ManifestFile], open_file: Open) -> mlmodel.Description:
    file = by_path[mlmodel.NAME]
    if file.size > MAX_YAML_BYTES:
        description = mlmodel.Description()
        description.refuse("mlmodel-yaml", f"MLmodel has {file.size:,} bytes; at most {MAX_YAML_BYTES:,} are read.")
        return description
    return mlmodel.read(_read(file, open_file), by_path.keys())


def _read(file: ManifestFile, open_file: Open) -> bytes:
    with open_file(file) as stream:
        return stream.read()


def _unknown_files(files: Sequence[ManifestFile], description: mlmodel.Description) -> list[Problem]:
    if description.problems:
        return []  # what MLmodel names is not known then, and its own problems say enough
    return [
        Problem(
            "file-unknown",
            file.path,
            "MLmodel does not name this file, and it is none that MLflow puts beside a model.",
        )
        for file in files
        if file.path not in SIDECARS | description.named
    ]


def _check_sidecars(by_path: Mapping[str, ManifestFile], open_file: Open) -> list[Problem]:
    problems = []
    for path in sorted(SIDECARS & by_path.keys() - {mlmodel.NAME}):
        file = by_path[path]
        limit = MAX_JSON_BYTES if path.endswith(".json") else MAX_YAML_BYTES
        try:
            if file.size > limit:
                raise ValueError(f"it has {file.size:,} bytes; at most {limit:,} are read")
            _SIDECAR_CHECKS[path](_read(file, open_file))
        except ValueError as error:
            problems.append(Problem("sidecar", path, f"The file is not taken: {error}."))
    return problems


def _check_requirements(data: bytes) -> None:
    for line in data.decode("utf-8").splitlines():
        if line.strip() and not _PIN.fullmatch(line.strip()):
            raise ValueError(f"the line {line.strip()[:80]!r} is not of the form name==version")


def _check_environment(data: bytes) -> None:
    """A conda.yaml or python_env.yaml: plain names and versions, no addresses, no options."""
    value = read_yaml(data)
    if not isinstance(value, dict) or not value.keys() <= {
        "build_dependencies",
        "channels",
        "dependencies",
        "name",
        "python",
    }:
        raise ValueError("it has other fields than an environment has")
    for dependency in [*(value.get("dependencies") or []), *(value.get("build_dependencies") or [])]:
        pinned = (
            dependency.get("pip", [None])
            if isinstance(dependency, dict) and dependency.keys() == {"pip"}
            else [dependency]
        )
        for one in pinned:
            if one != "-r requirements.txt" and not (isinstance(one, str) and _LOOSE.fullmatch(one)):
                raise ValueError(f"the dependency {str(one)[:80]!r} is not a name with a version")


def _check_json(data: bytes) -> None:
    read_json(data)


def _check_meta(data: bytes) -> None:
    read_yaml(data)


_SIDECAR_CHECKS: Final[dict[str, Callable[[bytes], None]]] = {
    "conda.yaml": _check_environment,
    "input_example.json": _check_json,
    "python_env.yaml": _check_environment,
    "registered_model_meta": _check_meta,
    "requirements.txt": _check_requirements,
    "serving_input_example.json": _check_json,
}


def _check_skops(file: ManifestFile, open_file: Open) -> tuple[list[Problem], list[Problem]]:
    with open_file(file) as stream:
        findings = skops_file.examine(stream, file.size)
    refused = [Problem(finding.code, file.path, finding.detail) for finding in findings if finding.refuses]
    kept = [Problem(finding.code, file.path, finding.detail) for finding in findings if not finding.refuses]
    return refused, kept
