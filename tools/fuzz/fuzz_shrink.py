"""Make a file with a finding smaller, as far as that is easy: parts are left out while it still does the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from tools.fuzz.fuzz_case import Case, Finding, Runner

PATIENCE = 20.0  # seconds for one finding


def shrink(case: Case, finding: Finding, runner: Runner) -> Case:
    """Return the smallest variant found that leads to the same kind of finding."""
    deadline = time.monotonic() + PATIENCE
    best = case
    better = True
    while better:
        better = False
        for data in _smaller(best.data):
            if time.monotonic() > deadline:
                return best
            candidate = replace(best, data=data)
            found = runner.probe(candidate)
            if found is not None and found.kind == finding.kind:
                best, better = candidate, True
                break
    return best


def _smaller(data: bytes) -> Iterator[bytes]:
    """Yield variants without one part of a repeated field, large parts first; for bytes that do not parse, shorter
    ones."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        yield from (data[: len(data) // 2], data[:-1])
        return
    for steps in list(_parts(model, ())):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        *path, (name, index) = steps
        holder: Any = copy
        for field, at in path:
            holder = getattr(holder, field) if at is None else getattr(holder, field)[at]
        if index is None:
            holder.ClearField(name)
        else:
            del getattr(holder, name)[index]
        yield copy.SerializeToString()


Step = tuple[str, int | None]


def _parts(message: Any, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for field, value in message.ListFields():
        if not field.is_repeated:
            if field.message_type is not None:
                yield from _parts(value, (*path, (field.name, None)))
            continue
        count = len(value)
        for index in range(count):
            yield (*path, (field.name, index))
        if field.message_type is not None and count < 200:
            for index in range(count):
                yield from _parts(value[index], (*path, (field.name, index)))
