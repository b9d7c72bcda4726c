"""What admission lets in, and the hostile samples that it does not: each refusal by its reason code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.proof.manifest import ManifestFile
from registry.admission import Examination, examine
from registry.trusted_source import module_text
from tests.factories import saved_model_files, tiny_model_files


def scanned(files: dict[str, bytes]) -> Examination:
    rows = [ManifestFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()]
    return examine(rows, lambda file: io.BytesIO(files[file.path]))


def codes(files: dict[str, bytes]) -> list[str]:
    result = scanned(files)
    assert not result.admitted
    assert not result.servable
    return result.codes


@pytest.fixture
def files() -> dict[str, bytes]:
    return dict(tiny_model_files())


def with_mlmodel(files: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    text = files["MLmodel"].decode()
    assert old in text
    return files | {"MLmodel": text.replace(old, new).encode()}


def with_skops(files: dict[str, bytes], change: Callable[[dict[str, bytes]], None]) -> dict[str, bytes]:
    """The model with the members of its skops file changed, packed again as skops packs them."""
    with zipfile.ZipFile(io.BytesIO(files["model.skops"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return files | {"model.skops": packed.getvalue()}


def with_schema(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    def edit(members: dict[str, bytes]) -> None:
        schema = json.loads(members["schema.json"])
        change(schema)
        members["schema.json"] = json.dumps(schema).encode()

    return with_skops(files, edit)


class TestWhatIsLetIn:
    def test_what_mlflow_writes_for_a_logistic_regression_is_admitted_and_served(self, files):
        result = scanned(files)

        assert result.admitted, result.summary
        assert result.servable
        assert result.flavour == "sklearn"
        assert [column["name"] for column in (result.signature or {})["inputs"]] == ["age", "hours"]

    def test_a_forest_is_admitted_and_says_why_it_is_not_served(self):
        from sklearn.ensemble import RandomForestClassifier

        result = scanned(saved_model_files(RandomForestClassifier(3), skops_trusted_types=["sklearn.tree._tree.Tree"]))

        assert result.admitted, result.summary
        assert not result.servable
        assert "skops-node-unserved" in result.codes

    def test_a_pickle_is_admitted_and_says_why_it_is_not_served(self):
        from sklearn.linear_model import LogisticRegression

        result = scanned(saved_model_files(LogisticRegression(), serialization_format="cloudpickle"))

        assert result.admitted, result.summary
        assert not result.servable
        assert result.codes == ["pickle-unserved"]
        assert "can be registered and pulled" in result.summary

    def test_an_imputer_is_served(self):
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        result = scanned(
            saved_model_files(make_pipeline(SimpleImputer(), LogisticRegression()), skops_trusted_types=["numpy.dtype"])
        )

        assert result.servable, result.summary

    def test_the_examination_survives_the_pipe(self, files):
        result = scanned(files)

        assert Examination.from_wire(json.loads(json.dumps(result.wire()))) == result

    def test_the_trusted_list_is_the_one_of_the_installed_libraries(self):
        from registry import trusted_types

        with open(trusted_types.__file__) as file:
            assert file.read() == module_text(), "Run `manage.py trusted_types` and read the difference."


class TestTheTree:
    @pytest.mark.parametrize("path", ["../model.pkl", "/etc/cron.d/x", "a/../../b", ".hidden", "link -> x", "a\\b"])
    def test_paths_that_lead_elsewhere(self, files, path):
        assert "path-name" in codes(files | {path: b"x"})

    def test_twins(self, files):
        assert "path-twin" in codes(files | {"mlmodel": files["MLmodel"]})

    @pytest.mark.parametrize("path", ["code/model.py", "Code/x.py", "extra/code/x.py"])
    def test_code(self, files, path):
        assert "code" in codes(files | {path: b"import os"})

    def test_a_file_that_nobody_names(self, files):
        assert codes(files | {"payload.pkl": b"x"}) == ["file-unknown"]

    def test_no_mlmodel(self, files):
        del files["MLmodel"]

        assert codes(files) == ["mlmodel-missing"]


class TestMLmodel:
    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            ("loader_module: mlflow.sklearn", "loader_module: os", "mlmodel-loader"),
            ("loader_module: mlflow.sklearn", "loader_module: mlflow.pyfunc.model", "mlmodel-loader"),
            ("model_path: model.skops", "model_path: ../../etc/passwd", "mlmodel-path"),
            ("model_path: model.skops", "model_path: requirements.txt", "mlmodel-path"),
            ("pickled_model: model.skops", "pickled_model: other.skops", "mlmodel-path"),
            ("code: null", "code: code", "mlmodel-code"),
            ("serialization_format: skops", "serialization_format: null", "mlmodel-serialization"),
            ("serialization_format: skops", "serialization_format: cloudpickle", "mlmodel-serialization"),
            ("skops_trusted_types: null", "skops_trusted_types: [posix.system]", "mlmodel-trusted"),
            ("skops_trusted_types: null", "skops_trusted_types: [builtins.eval]", "mlmodel-trusted"),
            ("skops_trusted_types: null", "skops_trusted_types: true", "mlmodel-trusted"),
            ("predict_fn: predict_proba", "predict_fn: __reduce__", "mlmodel-predict"),
            ("mlflow_version:", "hook: x\nmlflow_version:", "mlmodel-key"),
            ("conda: conda.yaml", "conda: ../conda.yaml", "mlmodel-path"),
            ("  sklearn:", "  pytorch:", "mlmodel-flavour"),
            ("flavors:", "flavors:\n  onnx: {data: model.skops}", "mlmodel-flavour"),
        ],
    )
    def test_what_it_may_not_say(self, files, old, new, code):
        assert code in codes(with_mlmodel(files, old, new))

    @pytest.mark.parametrize(
        "text",
        [
            "flavors: &a {x: 1}\nother: *a",
            "flavors: !!python/object/apply:os.system ['id']",
            "flavors: {a: 1, a: 2}",
            "a: 1\n---\nb: 2",
            "? [a, b]\n: 1",
            "<<: {a: 1}",
            "- just\n- a list",
            "x: " + "[" * 40 + "]" * 40,
            "\x00",
            "1: number key",
        ],
    )
    def test_yaml_that_is_more_than_plain_data(self, files, text):
        assert "mlmodel-yaml" in codes(files | {"MLmodel": text.encode()})

    def test_a_huge_one(self, files):
        assert codes(files | {"MLmodel": b"#" * (1024**2 + 1)}) == ["mlmodel-yaml"]

    def test_a_signature_that_is_no_json(self, files):
        assert "mlmodel-signature" in codes(with_mlmodel(files, "inputs: '[", "inputs: '[[["))


class TestBesideTheModel:
    @pytest.mark.parametrize(
        "line",
        [
            "scikit-learn",
            "scikit-learn>=1",
            "git+https://example.org/x.git",
            "-e .",
            "--index-url https://example.org",
            "x @ https://example.org/x.whl",
            "-r other.txt",
            "x==1 ; python_version<'3'",
            "../x",
            "x==1 --hash=y",
        ],
    )
    def test_requirements_are_names_with_versions(self, files, line):
        assert codes(files | {"requirements.txt": line.encode()}) == ["sidecar"]

    @pytest.mark.parametrize(
        "text",
        [
            '{"a": NaN}',
            '{"a": Infinity}',
            '{"a": 1, "a": 2}',
            "[" * 70 + "]" * 70,
            "[" * 100_000,
            '{"a": ' + "9" * 41 + "}",
            '{"a": 1e999}',
            "\xff",
        ],
    )
    def test_json_is_bounded_and_plain(self, files, text):
        assert codes(files | {"input_example.json": text.encode("latin-1")}) == ["sidecar"]

    def test_an_environment_takes_no_addresses(self, files):
        text = "name: x\ndependencies:\n- pip:\n  - git+https://example.org/evil.git\n"

        assert codes(files | {"conda.yaml": text.encode()}) == ["sidecar"]


class TestArchive:
    def test_a_bomb(self, files):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("schema.json", b" " * 50_000_000)

        assert codes(files | {"model.skops": packed.getvalue()}) == ["skops-archive"]

    def test_no_archive_at_all(self, files):
        assert codes(files | {"model.skops": pickle.dumps({"a": 1})}) == ["skops-archive"]

    def test_bytes_in_front(self, files):
        assert codes(files | {"model.skops": b"#!/bin/sh\n" + files["model.skops"]}) == ["skops-archive"]

    def test_bytes_behind(self, files):
        assert codes(files | {"model.skops": files["model.skops"] + b"x"}) == ["skops-archive"]

    def test_a_comment(self, files):
        packed = io.BytesIO(files["model.skops"])
        with zipfile.ZipFile(packed, "a") as archive:
            archive.comment = b"hidden"

        assert codes(files | {"model.skops": packed.getvalue()}) == ["skops-archive"]

    def test_a_name_that_leads_elsewhere(self, files):
        assert codes(with_skops(files, lambda members: members.update({"../../x.npy": b"x"}))) == ["skops-archive"]

    def test_an_entry_twice(self, files):
        packed = io.BytesIO(files["model.skops"])
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("schema.json", b"{}")

        assert codes(files | {"model.skops": packed.getvalue()}) == ["skops-archive"]

    def test_a_symbolic_link(self, files):
        packed = io.BytesIO(files["model.skops"])
        with zipfile.ZipFile(packed, "a") as archive:
            link = zipfile.ZipInfo("link.npy")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")

        assert codes(files | {"model.skops": packed.getvalue()}) == ["skops-archive"]

    def test_a_local_header_that_disagrees_with_the_directory(self, files):
        data = bytearray(files["model.skops"])
        struct.pack_into("<L", data, 22, 1)  # the size in front of the first entry's data

        assert codes(files | {"model.skops": bytes(data)}) == ["skops-archive"]

    def test_a_flipped_byte_in_an_array(self, files):
        data = bytearray(files["model.skops"])
        data[60] ^= 1

        assert not scanned(files | {"model.skops": bytes(data)}).admitted

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_no_change_of_a_byte_crashes_the_scan(self, data):
        files = dict(tiny_model_files())
        model = bytearray(files["model.skops"])
        position = data.draw(st.integers(0, len(model) - 1))
        model[position] = data.draw(st.integers(0, 255))

        scanned(files | {"model.skops": bytes(model)})


class TestSkops:
    def test_a_node_that_skops_does_not_write(self, files):
        assert codes(with_schema(files, lambda schema: schema.update(__loader__="EvalNode"))) == [
            "skops-node",
            "skops-member",
        ]

    def test_an_old_protocol(self, files):
        assert codes(with_schema(files, lambda schema: schema.update(protocol=0))) == ["skops-schema"]

    @pytest.mark.parametrize(
        ("module", "name"),
        [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("mypackage.models", "Model"), ("", "x")],
    )
    @pytest.mark.parametrize("loader", ["ObjectNode", "FunctionNode", "TypeNode", "PartialNode", "MethodNode"])
    def test_types_of_no_library(self, files, loader, module, name):
        def swap(schema: dict[str, Any]) -> None:
            schema["content"]["content"]["verbose"] = {"__loader__": loader, "__module__": module, "__class__": name}

        assert "skops-type" in codes(with_schema(files, swap))

    def test_a_trusted_name_in_the_wrong_place(self, files):
        def swap(schema: dict[str, Any]) -> None:
            schema.update(__module__="builtins", __class__="map")

        assert "skops-type" in codes(with_schema(files, swap))

    def test_a_random_generator_that_names_another_callable(self, files):
        def swap(schema: dict[str, Any]) -> None:
            state = {
                "__loader__": "DictNode",
                "__module__": "builtins",
                "__class__": "dict",
                "key_types": {
                    "__loader__": "ListNode",
                    "__module__": "builtins",
                    "__class__": "list",
                    "content": [None],
                },
                "content": {
                    "bit_generator": {
                        "__loader__": "JsonNode",
                        "__module__": "builtins",
                        "__class__": "str",
                        "content": '"seed"',
                        "is_json": True,
                    }
                },
            }
            schema["content"]["content"]["verbose"] = {
                "__loader__": "RandomGeneratorNode",
                "__module__": "numpy.random._generator",
                "__class__": "Generator",
                "content": {"bit_generator": state, "seed_seq": state},
            }

        assert not scanned(with_schema(files, swap)).admitted

    def test_a_member_that_no_node_names(self, files):
        array = io.BytesIO()
        np.save(array, np.zeros(3))

        assert codes(with_skops(files, lambda members: members.update({"99.npy": array.getvalue()}))) == [
            "skops-member"
        ]

    def test_a_named_member_that_is_missing(self, files):
        def drop(members: dict[str, bytes]) -> None:
            del members[next(name for name in members if name.endswith(".npy"))]

        assert codes(with_skops(files, drop)) == ["skops-member"]

    def test_a_schema_nested_beyond_reading(self, files):
        deep = b'{"content": ' * 5_000 + b"1" + b"}" * 5_000

        assert codes(with_skops(files, lambda members: members.update({"schema.json": deep}))) == ["skops-schema"]

    def test_a_schema_with_a_key_twice(self, files):
        twice = b'{"__class__": "Pipeline", "__class__": "eval"}'

        assert codes(with_skops(files, lambda members: members.update({"schema.json": twice}))) == ["skops-schema"]


def array_bytes(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


class TestArrays:
    @staticmethod
    def _replace_first(data: bytes) -> Callable[[dict[str, bytes]], None]:
        def change(members: dict[str, bytes]) -> None:
            members[next(name for name in members if name.endswith(".npy"))] = data

        return change

    def test_a_pickled_one(self, files):
        pickled = io.BytesIO()
        np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)

        assert codes(with_skops(files, self._replace_first(pickled.getvalue()))) == ["npy"]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not an array",
            pickle.dumps([1]),
            array_bytes(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", b"x" * 23),
            array_bytes(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", b"x" * 25),
            array_bytes(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x" * 8),
            array_bytes(b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", b"x" * 8),
            array_bytes(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
            array_bytes(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2**62, 2**62), }"),
            array_bytes(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}", b"x" * 8),
            array_bytes(b"__import__('os').system('id')"),
            array_bytes(b"(" * 10_000),
        ],
    )
    def test_ones_that_are_not_plain(self, files, data):
        assert codes(with_skops(files, self._replace_first(data))) == ["npy"]

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((3, 2)),
            np.zeros(0),
            np.array(5),
            np.array(["ab", "c"]),
            np.array([b"ab"]),
            np.array([True]),
            np.array(["2020-01-01"], dtype="datetime64[s]"),
            np.zeros(2, dtype=[("left", "<i8"), ("value", "<f8", (2,))]),
            np.asfortranarray(np.zeros((4, 5), dtype="complex64")),
        ],
        ids=lambda array: str(array.dtype),
    )
    def test_plain_ones_pass(self, array):
        from registry import npy

        written = io.BytesIO()
        np.save(written, array, allow_pickle=False)
        size = written.tell()
        written.seek(0)

        npy.check(written, size)
