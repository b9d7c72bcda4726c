"""What a version's files may be called, and that their digest is that of their canonical list."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.proof.manifest import ManifestFile, manifest_digest, path_problem
from foundation.refusals import Invalid, TooLarge
from registry.manifest import Limits, check_tree, tree_problems

ZERO = "0" * 64


def file(path: str, size: int = 1, sha256: str = ZERO) -> ManifestFile:
    return ManifestFile(path, size, sha256)


def test_the_digest_is_that_of_the_canonical_list():
    files = [file("b.txt", 2), file("a/b.txt", 1)]
    canonical = json.dumps(
        [{"path": "a/b.txt", "sha256": ZERO, "size": 1}, {"path": "b.txt", "sha256": ZERO, "size": 2}],
        separators=(",", ":"),
    )

    assert manifest_digest(files) == hashlib.sha256(canonical.encode()).hexdigest()


@given(st.permutations([file("a"), file("b"), file("c/d"), file("c/e")]))
def test_the_order_of_the_files_changes_nothing(files):
    assert manifest_digest(files) == manifest_digest([file("a"), file("b"), file("c/d"), file("c/e")])


def test_any_change_changes_the_digest():
    base = manifest_digest([file("a")])

    assert base not in {
        manifest_digest([file("b")]),
        manifest_digest([file("a", 2)]),
        manifest_digest([file("a", 1, "1" * 64)]),
    }


@pytest.mark.parametrize("path", ["MLmodel", "model.skops", "data/model.json", "_x", "a/b/c/d/e/f/g/h"])
def test_plain_relative_paths_pass(path):
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../secret",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        ".git/config",
        "-rf",
        "a b",
        "a\\b",
        "C:x",
        "a\x00b",
        "a\nb",
        "%2e%2e/x",
        "ünïcode",
        "a/b/c/d/e/f/g/h/i",
        "x" * 129,
        "/".join(["y" * 100] * 8),
    ],
)
def test_other_paths_are_refused(path):
    assert path_problem(path) is not None


@given(st.text(max_size=40))
def test_whatever_passes_stays_inside_its_folder(text):
    if path_problem(text) is None:
        assert not text.startswith("/")
        assert all(part not in ("", ".", "..") for part in text.split("/"))


def test_twins_in_case_are_refused():
    assert [problem.code for problem in tree_problems([file("Model.skops"), file("model.skops")])] == ["path-twin"]


def test_twins_among_folders_are_refused():
    assert [problem.code for problem in tree_problems([file("Data/a"), file("data/b")])] == ["path-twin"]


def test_a_file_that_is_a_folder_too_is_refused():
    assert "path-file-and-folder" in [problem.code for problem in tree_problems([file("a"), file("a/b")])]


def test_a_path_named_twice_is_refused():
    assert "path-twice" in [problem.code for problem in tree_problems([file("a"), file("a")])]


def test_every_problem_is_said_at_once():
    with pytest.raises(Invalid) as refused:
        check_tree([file("../a"), file("b", -1), file("c", 1, "zz")])

    assert set(refused.value.errors) == {"../a", "b", "c"}


@pytest.mark.parametrize(
    "files", [[file("a", 11)], [file("a", 10), file("b", 10)], [file("a"), file("b"), file("c"), file("d")]]
)
def test_more_than_the_limits_is_too_large(files):
    with pytest.raises(TooLarge):
        check_tree(files, Limits(file_bytes=10, version_bytes=15, files=3))


def test_no_files_are_no_version():
    with pytest.raises(Invalid, match="at least one file"):
        check_tree([])
