"""Initializers of C are read as plain values, in time that grows with the file only."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from qdqnp.errors import InputError
from qdqnp.st import structures as module
from qdqnp.st.structures import Address, structures


def value(text: str) -> Any:
    """The value of `T a = TEXT;`."""
    (found,) = structures(f"static const T a = {text};", "a.c", {"T"}).structures
    return found.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{1, -2, 0x10UL, 3,}", [1, -2, 16, 3]),
        ("{}", []),
        ("{{0}}", [[0]]),
        ("{1.5f, -2e3, .5}", [1.5, -2000.0, 0.5]),
        ("{.a = 1, .b = {2, 3}, .c.d = 4}", {"a": 1, "b": [2, 3], "c.d": 4}),
        ("{ARITH_AFFINE, NULL}", ["ARITH_AFFINE", "NULL"]),
        ('{"a, b }", "c\\"d"}', ["a, b }", 'c\\"d']),
        ("{(short)0, (unsigned char *)(0x342e0000UL)}", [0, 0x342E0000]),
        ("{((unsigned char *)(ATON_LIB_PHYSICAL_TO_VIRTUAL_ADDR(0x100UL + 16))) /* Equivalent */}", [272]),
        ("{((unsigned char *)((((uintptr_t)(pool)) + 8)))}", [Address("pool", 8)]),
        ("{f(1, 2), 3}", [None, 3]),
        ("{1 2}", [None]),
        ("{a + b}", [None]),
        ("{1 << 2}", [None]),
        ("{7 - 3 + 1}", [5]),
        ("{1,\n#if X == 0\n2,\n#endif\n3}", [1, 2, 3]),
        ("{1, // two\n3}", [1, 3]),
        ("{" + "9" * 100 + "}", [None]),
    ],
)
def test_values(text: str, expected: Any) -> None:
    assert value(text) == expected


def test_comments_say_node_unit_and_epoch() -> None:
    text = """
    static void LL_ATON_Start_EpochBlock_4(const void *b) {
      /* Unit= 18 [ARITH_ACC_V2 0] */
      /* kind=Add node=Add_1 */
      static const T a = {.x = 1, .base = {2} /* Equivalent hex */, /* the_tensor */ .y = 3};
      static const T Add_1_init9 = {0};
      static const U other = {0};
    }"""
    found = structures(text, "a.c", {"T"})
    first, second = found.structures
    assert (first.node, first.kind, first.unit, first.epoch, first.line) == ("Add_1", "Add", "ARITH_ACC_V2 0", 4, 5)
    assert first.comments == {"base": "the_tensor"} and second.epoch == 9
    assert [(one.node, one.epoch) for one in found.nodes] == [("Add_1", 4)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T a = {1", "line 1: expected a closing brace"),
        ("\n/* never", "line 2: expected the end of a comment"),
        ('"open', "line 1: expected C"),
        ("T a = " + "{" * 40, "at most 16 braces"),
        ("T a = {" + "1 " * 100 + "};", "at most 64 tokens"),
    ],
)
def test_what_is_no_c(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        structures(text, "a.c", {"T"})


@pytest.mark.parametrize("text", ["T", "T a", "T a =", "T a;", "T a[3", "T (", "T a = 3;", "T *a = {1};"])
def test_what_is_no_initialized_variable(text: str) -> None:
    assert structures(text, "a.c", {"T"}).structures == []


@pytest.mark.parametrize(
    "piece",
    [
        "static const T a_init1 = {.b = 1};\n",
        "/* kind=X node=Y */\n",
        "T a = {",
        "/*",
        "kind=",
        '"',
        "T T a _init",
        "(",
        "}",
    ],
)
def test_time_grows_with_the_file_only(piece: str) -> None:
    """Four times the text may not take more than ten times as long; what is too much is refused."""

    def seconds(count: int) -> float:
        started = time.process_time()
        with contextlib.suppress(InputError):
            structures(piece * count, "a.c", {"T"})
        return time.process_time() - started

    count = 400_000 // len(piece)
    seconds(count)
    assert seconds(4 * count) < 10 * seconds(count) + 0.5


def test_more_than_a_network_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STRUCTURES", 10)
    monkeypatch.setattr(module, "MAX_VALUES", 100)
    with pytest.raises(InputError, match="at most 10 structures"):
        structures("T a = {0};" * 11, "a.c", {"T"})
    with pytest.raises(InputError, match="at most 100 values"):
        structures(f"T a = {{{'1,' * 101}}};", "a.c", {"T"})
    with pytest.raises(InputError, match="at most 100 values, nodes and comments"):
        structures("/* x */" * 101, "a.c", {"T"})
