"""Test programs for format c: a test for each layer in a framework of your choice, and the function that you write."""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.files.regular import packaged

#: The file that each skeleton's own code is in.
FILES = {
    "main": "test_@PREFIX@.c",
    "ctest": "CMakeLists.txt",
    "unity": "test_@PREFIX@_unity.c",
    "ztest": "test_@PREFIX@_ztest.c",
    "gtest": "test_@PREFIX@_gtest.cpp",
}
#: What each has for a layer.
TESTS = {
    "main": '    failed += run({id}, "{name}");\n',
    "ctest": "  {name}\n",
    "unity": "static void test_{name}(void)\n{{\n    check({id});\n}}\n\n",
    "ztest": "ZTEST(@PREFIX@, test_{name})\n{{\n    check({id});\n}}\n\n",
    "gtest": "TEST(@PREFIX@, {name})\n{{\n    check({id});\n}}\n\n",
}
CALLS = {"unity": "    RUN_TEST(test_{name});\n"}


def skeleton(chosen: str, prefix: str, outputs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the files of a test program, by name.

    chosen: one of qdqnp.golden_sets.options.SKELETONS.
    prefix: the prefix of the set.
    outputs: (name of the layer, what the macros of its output start with), for each layer.
    """
    tests = "".join(TESTS[chosen].format(name=name, id=f"{macro}_ID") for name, macro in outputs)
    calls = "".join(CALLS.get(chosen, "").format(name=name) for name, _ in outputs)
    texts = {FILES[chosen]: _shipped(f"{chosen}.txt"), "@PREFIX@_under_test.h": _shipped("under_test.h")}
    if chosen == "ctest":
        texts |= {FILES["main"]: _shipped("main.txt")}
        mains = "".join(TESTS["main"].format(name=name, id=f"{macro}_ID") for name, macro in outputs)
        texts = {name: text.replace("@MAIN_TESTS@", mains) for name, text in texts.items()}
    texts["@PREFIX@_under_test.c"] = _shipped("under_test.c")
    texts["@PREFIX@_check_layer.c"] = _shipped("check_layer.c")
    found = {}
    for name, text in texts.items():
        whole = text.replace("@MAIN_TESTS@", tests).replace("@TESTS@", tests).replace("@CALLS@", calls)
        found[_named(name, prefix)] = _named(whole, prefix)
    return found


def _named(text: str, prefix: str) -> str:
    return text.replace("@PREFIX@", prefix).replace("@MACRO@", prefix.upper())


def _shipped(name: str) -> str:
    return packaged("qdqnp.golden_sets", "c", "skeletons", name).decode("utf-8")
