"""The library of one room."""

load("@rules_python//python:defs.bzl", "py_library")

ROOMS = [
    "audio",
    "benchmarks",
    "commands",
    "corpora",
    "executors",
    "learning",
    "models",
    "optimizers",
    "privacy",
    "programs",
    "reports",
    "runs",
    "serving",
    "text",
]

def room(deps = []):
    """A py_library with the folder's name, all its modules and templates.

    Also `sources`, the same files and the BUILD file, for the test of the
    house's rules.

    Args:
      deps: Rooms that it imports, and `@py_env//:packages` if it needs them.
    """
    srcs = native.glob(["**/*.py"])
    py_library(
        name = native.package_name().split("/")[-1],
        srcs = srcs,
        data = native.glob(["**/*.html"], allow_empty = True),
        visibility = ["//:__subpackages__"],
        deps = ["//tff_asr:base"] + deps,
    )
    native.filegroup(
        name = "sources",
        srcs = srcs + ["BUILD"],
        visibility = ["//tff_asr:__pkg__"],
    )
