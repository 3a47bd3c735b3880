"""Tests of one room, run by pytest in one process: imports are slow."""

load("@rules_python//python:defs.bzl", "py_test")

def room_test(name, srcs, deps = [], size = "medium", **kwargs):
    """A py_test that runs the test functions in its sources.

    Args:
      name: Name of the target.
      srcs: Test files, `*_test.py`.
      deps: Libraries under test.
      size: See Bazel's test sizes.
      **kwargs: Handed on to py_test.
    """
    if not native.existing_rule("sources"):
        native.filegroup(  # For the test of the pages that name them.
            name = "sources",
            srcs = native.glob(["**/*.py"]),
            visibility = ["//tests:__pkg__"],
        )
    py_test(
        name = name,
        size = size,
        timeout = "eternal",  # Ends what hangs; a loaded machine is slow.
        srcs = srcs + [
            "//tests:conftest.py",
            "//tests:run_pytest.py",
        ],
        args = ["$(rootpath %s)" % src for src in srcs if src.endswith("_test.py")],
        main = "//tests:run_pytest.py",
        deps = deps + ["@py_env//:packages"],
        **kwargs
    )
