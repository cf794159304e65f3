"""Write the C file by which a board sends the tensors of a compiled network: after each epoch, those that it made.

The file uses ST's runtime as its public headers declare it: LL_ATON_RT_SetEpochCallback of ll_aton_rt_user_api.h, the
blocks of ll_aton_NN_interface.h, and LL_ATON_Cache_MCU_Invalidate_Range of ll_aton_caches_interface.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.peers.devices.frames import BLOCKS, DONE, HEADER, MAGIC, NUMBERS
from qdqnp.st.compiled import CompiledNetwork, TensorPlace
from qdqnp.st.places import MAX_EPOCH

#: The numbers that a frame can hold, by their bits and whether they have a sign.
_KINDS = {(8, True): "i1", (8, False): "u1", (16, True): "i2", (32, True): "i4"}
LINE = 20
#: The device's addresses have 32 bits.
ADDRESSES = 2**32


@dataclass(frozen=True)
class Streamed:
    """A tensor that the board sends."""

    place: TensorPlace
    #: What it is called in the stream.
    name: str
    #: The last epoch after which its memory still holds it, if nothing was read in between.
    until: int

    @property
    def start(self) -> bytes:
        """The bytes of its frame before its data."""
        place = self.place
        shape, block = _layout(place)
        kind = np.dtype("<" + _KINDS[place.bits, place.signed])
        name = self.name.encode(errors="replace")[:255].decode(errors="ignore").encode()
        head = HEADER.pack(BLOCKS, NUMBERS[kind], 5, len(name), place.size)
        return head + struct.pack("<5I", *shape, block) + name


def streamed(network: CompiledNetwork, names: Mapping[str, str] | None = None) -> tuple[Streamed, ...]:
    """Return the tensors that the hook sends: codes whose address and epoch are known.

        network: the compiled network.
        names: what tensors are called in the stream, by the compiler's name; only they are sent. None sends all of
            them, by the compiler's names.

    Raises InputError where there is none.
    """
    places = [place for place in network.places if place.role != "parameter" and place.first_epoch >= 0]
    until = _until(places)
    found = [
        Streamed(place, place.name if names is None else names[place.name], until[place.name])
        for place in places
        if (names is None or place.name in names)
        and (place.bits, place.signed) in _KINDS
        and place.scales
        and len(place.shape) <= 4
        and _has_size(place)
    ]
    if not found:
        problem = Problem(
            "the files", "tensors of the model with addresses, epochs and scales", "none", "Give *_c_info.json."
        )
        raise InputError("no tensor that a board could send", [problem])
    return tuple(sorted(found, key=lambda one: (one.place.first_epoch, one.name)))


def _layout(place: TensorPlace) -> tuple[tuple[int, ...], int]:
    """Return the sizes N, C, H and W, and how many channels lie side by side."""
    shape = (1,) * (4 - len(place.shape)) + place.shape
    return shape, {"first": 1, "last": shape[1], "both": 1}.get(place.channels, place.batch)


def _has_size(place: TensorPlace) -> bool:
    """Tell whether the bytes are those of the shape, and lie in memory: what is laid out otherwise has no order."""
    (n, channels, rows, columns), block = _layout(place)
    if block < 1 or not place.size or (place.address or 0) + place.size > ADDRESSES:
        return False
    padded = -(-channels // block) * block
    return place.size in [n * count * rows * columns * place.bits // 8 for count in (channels, padded)]


def _until(places: Iterable[TensorPlace]) -> dict[str, int]:
    """Return, by tensor, the epoch before the first that writes over it; those without an address share no memory."""
    listed = [place for place in places if place.address is not None]
    begin = np.array([place.address for place in listed], np.int64)
    end = begin + np.array([place.size for place in listed], np.int64)
    first = np.array([place.first_epoch for place in listed], np.int64)
    found = {place.name: MAX_EPOCH for place in places}
    for at, place in enumerate(listed):
        over = (first > first[at]) & (begin < end[at]) & (begin[at] < end)
        found[place.name] = int(first[over].min(initial=MAX_EPOCH + 1)) - 1
    return found


def hook_source(tensors: Sequence[Streamed], last_epoch: int) -> str:
    """Return the C file.

    tensors: what is sent.
    last_epoch: the number of the network's last epoch, after which the run is over.
    """
    starts = [_array(f"start_{index}", MAGIC + one.start) for index, one in enumerate(tensors)]
    rows = []
    users = [one for one in tensors if one.place.address is None]
    for index, one in enumerate(tensors):
        place = one.place
        address = f"{place.address:#010x}u" if place.address is not None else "0u"
        slot = users.index(one) if place.address is None else -1
        numbers = f"{place.size}u, {place.first_epoch}, {one.until}, {slot}"
        rows.append(f"  {{ {address}, {numbers}, (uint16_t)sizeof start_{index}, start_{index} }},")
    named = [f"   {at}  {_commented(one.name)}" for at, one in enumerate(users)] or ["   none"]
    done = HEADER.pack(DONE, 0, 0, 0, 0)
    return _TEXT.format(
        users="\n".join(named),
        slots=max(1, len(users)),
        starts="\n".join(starts),
        rows="\n".join(rows),
        done=_array("run_is_over", MAGIC + done),
        last=last_epoch,
    )


def _array(name: str, data: bytes) -> str:
    lines = [", ".join(map(str, data[at : at + LINE])) for at in range(0, len(data), LINE)]
    return f"static const uint8_t {name}[{len(data)}] = {{\n  " + ",\n  ".join(lines) + "\n};"


def _commented(name: str) -> str:
    """Return a name that cannot end a comment of C, nor begin another line."""
    return "".join(c if c.isalnum() or c in "_.-:" else "_" for c in name)[:120]


_TEXT = """\
/* Sends the tensors of a compiled network after each epoch that made them. Written by `qdqnp st dump-hook`.

   Build this file with your firmware and ST's runtime, with LL_ATON_EB_DBG_INFO defined for all of it, write
   qdqnp_dump_write, and call qdqnp_dump_install once before LL_ATON_RT_Init_Network. What qdqnp_dump_write got, in one
   file, is a DUMP of `qdqnp compare GOLDEN DUMP`; other lines of a log may stand between the frames.

   Tensors in memory that your firmware gives have no address here. Tell them with qdqnp_dump_user before the run:
{users}
*/
#include <stdint.h>

#include "ll_aton_runtime.h"

#if !defined(LL_ATON_EB_DBG_INFO)
#error "Define LL_ATON_EB_DBG_INFO (ll_aton_config.h): without it no block says which epoch it is."
#endif

/* Yours: send all bytes, over a UART, by semihosting, into a file. */
void qdqnp_dump_write(const void *data, uint32_t size);

/* What the NPU wrote is in memory, but the CPU's cache may hold what was there before. */
#if !defined(QDQNP_DUMP_INVALIDATE)
#include "ll_aton_caches_interface.h"
#define QDQNP_DUMP_INVALIDATE(address, size) LL_ATON_Cache_MCU_Invalidate_Range((address), (size))
#endif

/* Where the CPU sees an address of the compiler's. */
#if !defined(QDQNP_DUMP_ADDRESS)
#define QDQNP_DUMP_ADDRESS(address) ((const uint8_t *)(uintptr_t)(address))
#endif

typedef struct {{
  uint32_t address;
  uint32_t size;
  int16_t epoch;       /* the first that writes the tensor */
  int16_t until;       /* the last after which it is still there */
  int16_t user;        /* its number among the tensors without an address, or -1 */
  uint16_t start_size;
  const uint8_t *start; /* its frame, before its data */
}} tensor_t;

{starts}
{done}

static const tensor_t tensors[] = {{
{rows}
}};

static const uint8_t *user_memory[{slots}];

void qdqnp_dump_user(uint32_t number, const void *memory);
void qdqnp_dump_install(NN_Instance_TypeDef *instance);

/* CRC-32 of zlib, four bits at a time. */
static uint32_t crc_over(uint32_t crc, const uint8_t *data, uint32_t size)
{{
  static const uint32_t table[16] = {{
    0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
    0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu
  }};
  for (uint32_t at = 0; at < size; at++) {{
    crc ^= data[at];
    crc = (crc >> 4) ^ table[crc & 15u];
    crc = (crc >> 4) ^ table[crc & 15u];
  }}
  return crc;
}}

static void send(const uint8_t *start, uint32_t start_size, const uint8_t *data, uint32_t size)
{{
  uint32_t crc = ~crc_over(crc_over(0xffffffffu, start + 4, start_size - 4u), data, size); /* without "QDQP" */
  const uint8_t end[4] = {{ (uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24) }};
  qdqnp_dump_write(start, start_size);
  if (size > 0u) {{
    qdqnp_dump_write(data, size);
  }}
  qdqnp_dump_write(end, sizeof end);
}}

static void send_made_by(int32_t first, int32_t last)
{{
  for (uint32_t at = 0; at < sizeof tensors / sizeof tensors[0]; at++) {{
    const tensor_t *one = &tensors[at];
    const uint8_t *data = one->user < 0 ? QDQNP_DUMP_ADDRESS(one->address) : user_memory[one->user];
    /* a block of several epochs may have written over it */
    if (one->epoch < first || one->epoch > last || one->until < last || data == 0) {{
      continue;
    }}
    QDQNP_DUMP_INVALIDATE((uintptr_t)data, one->size);
    send(one->start, one->start_size, data, one->size);
  }}
}}

static void after_block(
  LL_ATON_RT_Callbacktype_t type, const NN_Instance_TypeDef *instance, const LL_ATON_RT_EpochBlockItem_t *block)
{{
  (void)instance;
  /* an epoch may take several blocks, and some blocks are no epoch of the compiler's */
  if (type != LL_ATON_RT_Callbacktype_POST_END || block->epoch_num < 0
      || ((uint32_t)block->flags & (uint32_t)EpochBlock_Flags_epoch_end) == 0u) {{
    return;
  }}
  int32_t last = block->last_epoch_num > block->epoch_num ? block->last_epoch_num : block->epoch_num;
  send_made_by(block->epoch_num, last);
  if (last >= {last}) {{
    send(run_is_over, (uint32_t)sizeof run_is_over, run_is_over, 0u);
  }}
}}

/* Tell where a tensor lies that has no address: its number stands at the top of this file. */
void qdqnp_dump_user(uint32_t number, const void *memory)
{{
  if (number < sizeof user_memory / sizeof user_memory[0]) {{
    user_memory[number] = (const uint8_t *)memory;
  }}
}}

void qdqnp_dump_install(NN_Instance_TypeDef *instance)
{{
  LL_ATON_RT_SetEpochCallback(after_block, instance);
}}
"""
