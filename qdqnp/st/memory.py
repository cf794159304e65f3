"""What lies in the device's memories when a network starts: the vectors that the units are given, by address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from qdqnp.errors import Problems
from qdqnp.limits import readable_bytes
from qdqnp.quant import Int64
from qdqnp.st.compiled import Pool
from qdqnp.st.structures import Address, Structure

_POOL = re.compile(r"index=[0-9]+ file postfix=(\S+) .*?offset=(0x[0-9a-fA-F]{1,16}) .*?size=([0-9]{1,19})")
#: The array that holds the vectors of a network that the epoch controller runs.
CONTROLLER = "__ec_params_memory_pool_base"
#: More than any device has.
MAX_POOLS = 64


def pools_of(
    comments: Iterable[tuple[int, str]], tables: Iterable[Structure], contents: Mapping[str, bytes], problems: Problems
) -> tuple[Pool, ...]:
    """Return the memories that the compiler's comments and tables list, each with its content.

    comments: the comments of the C files.
    tables: the arrays `mpool_reloc_info`.
    contents: what the .raw files hold, by the name in their names.
    """
    found: dict[str, tuple[int, int]] = {}
    for _, text in comments:
        line = _POOL.search(text)
        if line:
            found.setdefault(line[1], (int(line[2], 16), int(line[3])))
    for table in tables:
        for row in table.value if isinstance(table.value, list) else ():
            if isinstance(row, list) and len(row) >= 3 and isinstance(row[0], str) and isinstance(row[2], int):
                user = len(row) > 4 and row[4] == 1
                if row[0] != "NULL" and not user:
                    found.setdefault(row[0], (row[2], 0))
    if len(found) > MAX_POOLS:
        problems.add("memory pools", f"at most {MAX_POOLS}", str(len(found)))
        return ()
    pools = []
    for name, (base, size) in found.items():
        content = contents.get(name)
        if content is not None and size and len(content) > size:
            expected = f"at most {readable_bytes(size)}, the pool's size"
            problems.add(f"content of pool {name}", expected, readable_bytes(len(content)))
        pools.append(Pool(name, base, size, content))
    return tuple(pools)


@dataclass
class Memory:
    """The memories of a device, and what they hold."""

    pools: tuple[Pool, ...]
    #: The bytes of CONTROLLER; None where the network has no such array.
    controller: bytes | None
    problems: Problems
    #: Whether it was said already that a pool has no content.
    said: set[str] = field(default_factory=set)

    def numbers(self, pointer: object, count: int, bits: int, where: str) -> Int64 | None:
        """Return the signed integers of a vector; None where they are not there, which is a problem then.

        pointer: the address, as `structures` reads it.
        count: how many there are.
        bits: 8, 16 or 32.
        where: what they are, for messages.
        """
        if bits not in (8, 16, 32):
            self.problems.add(where, "numbers of 8, 16 or 32 bits", str(bits))
            return None
        data = self.bytes_at(pointer, count * bits // 8, where)
        return None if data is None else np.frombuffer(data, f"<i{bits // 8}").astype(np.int64)

    def bytes_at(self, pointer: object, size: int, where: str) -> bytes | None:
        """Return bytes of memory; None where they are not there, which is a problem then."""
        if isinstance(pointer, Address):
            return self._behind(pointer, size, where)
        if not isinstance(pointer, int) or pointer < 0:
            self.problems.add(where, "an address", repr(pointer))
            return None
        holding = [pool for pool in self.pools if pool.base <= pointer and _reaches(pool, pointer)]
        if not holding:
            listed = ", ".join(f"{pool.name} from {pool.base:#x}" for pool in self.pools) or "none"
            self.problems.add(where, f"an address in one of the pools ({listed})", f"{pointer:#x}")
            return None
        filled = [pool for pool in holding if pool.content]
        if not filled:
            self._missing(max(holding, key=lambda one: one.base), where)
            return None
        pool = max(filled, key=lambda one: one.base)
        return self._cut(pool.content or b"", pointer - pool.base, size, f"content of pool {pool.name}", where)

    def _behind(self, pointer: Address, size: int, where: str) -> bytes | None:
        if pointer.symbol == CONTROLLER:
            if self.controller is None:
                self.problems.add(where, f"the array {CONTROLLER}", "no such array", "Give the *_blob_trace.c too.")
                return None
            return self._cut(self.controller, pointer.offset, size, CONTROLLER, where)
        named = [pool for pool in self.pools if pointer.symbol.startswith(f"_mem_pool_{pool.name}_")]
        if not named:
            self.problems.add(where, "a pool that the files list", pointer.symbol)
            return None
        pool = max(named, key=lambda one: len(one.name))
        if pool.content is None:
            self._missing(pool, where)
            return None
        return self._cut(pool.content, pointer.offset, size, f"content of pool {pool.name}", where)

    def _missing(self, pool: Pool, where: str) -> None:
        if pool.name not in self.said:
            hint = "Give the folder that has it, which may be that of st_ai_ws."
            self.problems.add(
                f"pool {pool.name}", f"a file *atonbuf.{pool.name}.raw, for {where}", "no such file", hint
            )
        self.said.add(pool.name)

    def _cut(self, data: bytes, at: int, size: int, what: str, where: str) -> bytes | None:
        if at >= 0 and at + size <= len(data):
            return data[at : at + size]
        self.problems.add(where, f"bytes {at} to {at + size} of the {what}", f"a content of {len(data)} bytes")
        return None


def _reaches(pool: Pool, address: int) -> bool:
    size = max(pool.size, len(pool.content or b""))
    return address < pool.base + size if size else pool.content is None


def controller_bytes(arrays: Iterable[Structure], problems: Problems) -> bytes | None:
    """Return the bytes of the array CONTROLLER; None where there is none."""
    for array in arrays:
        if array.name != CONTROLLER or not isinstance(array.value, list):
            continue
        if any(not isinstance(word, int) or not 0 <= word < 2**64 for word in array.value):
            problems.add(f"line {array.line}, {CONTROLLER}", "integers of 64 bits", "something else")
            return None
        return np.array(array.value, "<u8").tobytes()
    return None
