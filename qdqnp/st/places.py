"""Where each tensor lies: c_info.json lists every buffer, and the C file describes some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from qdqnp.errors import Problems, shorten
from qdqnp.st.compiled import Pool, TensorPlace
from qdqnp.st.structures import CSource

BUFFER = "LL_Buffer_InfoTypeDef"
#: More dimensions than any of ST's tensors has.
MAX_RANK = 8
#: Tensors of a network; the largest that was seen has 430.
MAX_TENSORS = 2**14
#: The largest number of an epoch: ST's runtime has 16 bits for it.
MAX_EPOCH = 2**15 - 1
_LIMIT = 2**40
_POSITIONS = {"CHPos_First": "first", "CHPos_Last": "last", "CHPos_Mixed": "mixed"}


def places_of(
    sources: Sequence[CSource], info: Any, pools: Sequence[Pool], problems: Problems
) -> tuple[TensorPlace, ...]:
    """Return the places of all tensors; where both list one, that of c_info.json."""
    found: dict[str, TensorPlace] = {}
    for place in chain(_listed(info, problems), _described(sources, pools, problems)):
        found.setdefault(place.name, place)
        if len(found) > MAX_TENSORS:
            problems.add("tensors of the network", f"at most {MAX_TENSORS}", "more")
            return ()
    _check(found.values(), pools, problems)
    return tuple(found.values())


def _check(places: Any, pools: Sequence[Pool], problems: Problems) -> None:
    """Note tensors that lie in no pool, where the pool's size is known."""
    by_name = {pool.name: pool for pool in pools}
    for place in places:
        pool = by_name.get(place.pool)
        if pool is None or place.address is None or not pool.size:
            continue
        begin, end = place.address - pool.base, place.address - pool.base + place.size
        if begin < 0 or end > pool.size + 8:  # the compiler states 8 bytes less for the last pool of a row
            expected = f"bytes of the pool {pool.name}, {pool.size} from {pool.base:#x}"
            problems.add(f"buffer {place.name}", expected, f"{place.size} bytes from {place.address:#x}")


# -- c_info.json -------------------------------------------------------------------------------------------------------
def _listed(info: Any, problems: Problems) -> Iterator[TensorPlace]:
    if info is None:
        return
    lists = ("buffers", "memory_pools")
    if not isinstance(info, dict) or not all(isinstance(info.get(name, []), list) for name in lists):
        problems.add("c_info.json", "a table with lists of buffers and memory_pools", type(info).__name__)
        return
    rows = [row for row in info.get("memory_pools", []) if isinstance(row, dict)]
    memories = {row["id"]: row for row in rows if isinstance(row.get("id"), int)}
    graphs = info.get("graphs")
    graph = graphs[0] if isinstance(graphs, list) and graphs and isinstance(graphs[0], dict) else {}
    roles = {number: role for role in ("input", "output") for number in _list(graph.get(f"{role}s"))}
    for index, row in enumerate(info.get("buffers", [])):
        try:
            yield _buffer(row, memories, roles)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problems.add(f"c_info.json, buffers[{index}]", "a buffer with name, place, shape and format", repr(error))


def _list(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []


def _buffer(row: Any, memories: Mapping[Any, Any], roles: Mapping[int, str]) -> TensorPlace:
    memory = memories[row["mpool_id"]]
    intq, qmn, epochs = row.get("intq") or {}, row.get("qmn") or {}, row.get("epochs") or {}
    file = str(memory.get("fname", ""))
    user = bool(memory.get("user_allocated"))
    base = 0 if user else _size(int(memory["address"])) + _size(int(memory.get("offset_start", 0)))
    first, last = bool(row.get("channel_first")), bool(row.get("channel_last"))
    role = "parameter" if row.get("is_param") else roles.get(row.get("id"), "activation")
    return TensorPlace(
        name=str(row["name"]),
        address=None if user else base + _size(row["offset_start"]),
        size=_size(row["size_bytes"]),
        pool=file.removeprefix("atonbuf.").removesuffix(".raw") or str(memory.get("name", "")),
        shape=_shape(row["shape"]),
        first_epoch=_epoch(epochs.get("start", -1)),
        last_epoch=_epoch(epochs.get("end", -1)),
        bits=_size(row["nbits"]),
        signed=bool(qmn.get("sign", 1)),
        channels="both" if first and last else "first" if first else "last" if last else "mixed",
        batch=_size(row.get("batch", 1)),
        qm=int(qmn.get("m", 0)),
        qn=int(qmn.get("n", 0)),
        scales=tuple(float(value) for value in intq.get("scales", ())),
        zero_points=tuple(int(value) for value in intq.get("offsets", ())),
        role=role,
    )


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
        raise ValueError(f"{shorten(repr(value))} is no size")
    return value


def _epoch(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value <= MAX_EPOCH:
        raise ValueError(f"{shorten(repr(value))} is no epoch")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_RANK:
        raise ValueError(f"{type(value).__name__} is no shape")
    return tuple(map(_size, value))


# -- the C file --------------------------------------------------------------------------------------------------------
def _described(sources: Sequence[CSource], pools: Sequence[Pool], problems: Problems) -> Iterator[TensorPlace]:
    for source in sources:
        arrays: dict[str, list[Any]] = {}
        seen = 0  # the input's buffers are described first, then the outputs'
        for structure in source.structures:
            if structure.type != BUFFER:
                if structure.name.startswith("buff_info") and isinstance(structure.value, list):
                    arrays[structure.name] = structure.value
                continue
            role = {0: "input", 1: "output"}.get(seen, "activation")
            seen += 1
            for index, row in enumerate(structure.value if isinstance(structure.value, list) else ()):
                if not isinstance(row, dict) or row.get("name") in (None, "NULL"):
                    continue
                try:
                    yield _info(row, arrays, pools, role)
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    where = f"{structure.name}[{index}] (line {structure.line})"
                    problems.add(where, "a buffer with name, place and shape", repr(error))


def _info(row: dict[str, Any], arrays: Mapping[str, list[Any]], pools: Sequence[Pool], role: str) -> TensorPlace:
    start = _size(row.get("offset_start", 0))
    address = row["addr_base"]
    address = address[0] if isinstance(address, list) and len(address) == 1 else address
    base = address if isinstance(address, int) and not row.get("is_user_allocated") else None
    holding = [pool for pool in pools if base is not None and pool.base == base]
    shape = _shape(list(arrays.get(str(row.get("mem_shape")), [])))
    scales, zeros = arrays.get(str(row.get("scale")), []), arrays.get(str(row.get("offset")), [])
    epoch = _epoch(row.get("epoch", -1))
    return TensorPlace(
        name=str(row["name"]),
        address=None if base is None else _size(base) + start,
        size=_size(_size(row.get("offset_end", start)) - start),
        pool=holding[0].name if len(holding) == 1 else "",
        shape=shape,
        first_epoch=epoch,
        last_epoch=-1,
        bits=_size(row.get("nbits", 8)),
        signed=not row.get("Qunsigned", 0),
        channels=_POSITIONS.get(str(row.get("chpos")), ""),
        batch=_size(row.get("batch", 1)),
        qm=int(row.get("Qm", 0)),
        qn=int(row.get("Qn", 0)),
        scales=tuple(float(value) for value in scales),
        zero_points=tuple(int(value) for value in zeros),
        role="parameter" if row.get("is_param") else role,
    )
