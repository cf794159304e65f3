"""Write a folder as ST's compiler does, of a CompiledNetwork: the reader must give the same network back.

Only what the reader looks at is written, in the form that public compiled networks have.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.quant import Int64
from qdqnp.st.compiled import (
    CompiledAdd,
    CompiledLookup,
    CompiledNetwork,
    CompiledPool,
    CompiledSum,
    Epoch,
    KernelPart,
    OnProcessor,
    Pool,
    TensorPlace,
)

FLASH, RAM = Pool("xSPI2", 0x71000000, 2**20), Pool("AXISRAM5", 0x342E0000, 2**18)
_POOLS = {
    "max": "POOL_MAX",
    "min": "POOL_MIN",
    "average": "POOL_AVG",
    "global max": "POOL_GMAX",
    "global min": "POOL_GMIN",
    "global average": "POOL_GAVG",
}
_ACTIVATIONS = {
    "relu": "ACTIV_RELU",
    "prelu": "ACTIV_PRELU",
    "trelu": "ACTIV_TRELU",
    "function": "ACTIV_FUNC",
    "table": "ACTIV_LUT",
}


class Written:
    """The text and the memory of a network under construction."""

    def __init__(self, network: CompiledNetwork, controller: bool, streamed: bool) -> None:
        self.network, self.controller, self.streamed = network, controller, streamed
        self.flash = bytearray()
        self.lines: list[str] = []
        self.stream = 0

    # -- memory --------------------------------------------------------------------------------------------------------
    def vector(self, numbers: bytes) -> str:
        """Put numbers into the flash, and return the pointer to them as C has it."""
        at = len(self.flash)
        self.flash += numbers + bytes(-len(numbers) % 8)
        if self.controller:
            base = f"((uintptr_t)(__ec_params_memory_pool_base)) + {at}"
            return f"{{((unsigned char *)(ATON_LIB_VIRTUAL_TO_PHYSICAL_ADDR({base}))) /* Equivalent hex offset */}}"
        where = f"{FLASH.base:#x}UL + {at}"
        return f"{{((unsigned char *)(ATON_LIB_PHYSICAL_TO_VIRTUAL_ADDR({where}))) /* Equivalent hex address */}}"

    # -- structures ----------------------------------------------------------------------------------------------------
    def unit(
        self, kind: str, of: str, node: str, operator: str, number: int, epoch: int, fields: dict[str, Any]
    ) -> str:
        """Write a unit's structure; return the unit's name."""
        unit = f"{kind} {number}"
        self.lines += [f"  /* Unit= {number} [{unit}] */", f"  /* kind={operator} node={node} */"]
        self.lines.append(f"  static const LL_{of}_InitTypeDef {node}_init{epoch} = {{")
        self.lines += [f"    .{name} = {value}," for name, value in fields.items()]
        self.lines += ["  };", f"  LL_{of}_Init({number}, &{node}_init{epoch});"]
        return unit

    def dma(self, node: str, way: str, port: int, epoch: int, tensor: str, **more: Any) -> str:
        """Write a stream between a unit and memory; return the stream unit's name."""
        self.stream += 1
        unit = f"STREAM_ENG_V2 {self.stream}"
        fields = {"dir": int(way == "out"), **more}
        base = fields.pop("addr_base", f"{{(unsigned char *)({RAM.base:#x}UL) /* Equivalent hex address */}}")
        self.lines += [f"  /* Unit= {self.stream} [{unit}] */"]
        self.lines.append(f"  static const LL_Streng_TensorInitTypeDef {node}_dma_init_{way}_{port}_{epoch} = {{")
        self.lines += [f"    .addr_base = {base}, /* {tensor} */"]
        self.lines += [f"    .{name} = {value}," for name, value in fields.items()]
        self.lines.append("  };")
        return unit

    def wire(self, node: str, unit: str, port: int, source: str) -> None:
        what = f"{node} IN: in unit={unit} in port={port} out unit={source} out port=0"
        self.lines.append(f"  static const LL_Switch_InitTypeDef s[] = {{ {{ 0 }}, /* {what} */ }};")

    def coefficients(self, letter: str, numbers: Int64, bits: int) -> dict[str, Any]:
        """Return the fields of coefficients: a scalar where there is one number."""
        if numbers.size == 1:
            return {f"{letter}_scalar": int(numbers[0]), f"{letter}_vector": "{0}"}
        return {f"{letter}_scalar": 1, f"{letter}_vector": self.vector(numbers.astype(f"<i{bits // 8}").tobytes())}

    def addend(self, bc: Int64) -> dict[str, Any]:
        if bc.size > 1:
            return {"B_scalar": 0, "B_vector": "{0}", **self.coefficients("C", bc, 32), "combinebc": 1}
        number = int(bc[0])
        scalars = {"B_scalar": number >> 16, "C_scalar": f"(short){number & 0xFFFF}"}
        return {**scalars, "B_vector": "{0}", "C_vector": "{0}", "combinebc": 1}

    def affine(self, node: str, operator: str, epoch: int, channels: int, shift: int, fields: dict[str, Any]) -> str:
        rounding = {"rounding_o": 1, "saturation_o": 1, "relu_mode_o": 0, "shift_o": shift, "fChannels": channels}
        form = {"operation": "ARITH_AFFINE", "batchDepth": channels, "vec_precision": "{16, 16, 32}"}
        return self.unit("ARITH_ACC_V2", "Arithacc", node, operator, 3, epoch, {**rounding, **form, **fields})

    # -- layers --------------------------------------------------------------------------------------------------------
    def sum(self, layer: CompiledSum) -> None:
        epoch, name = layer.epochs[0], layer.name
        if layer.zero_point == "to uint8":
            self.affine(f"{name}_suboff_1", "Sub", epoch, 3, 14, {"A_scalar": 16384, "B_scalar": 32, "combinebc": 1})
        nodes = [part.node for part in layer.parts] or [name]
        nodes += [f"{nodes[-1]}_ca_pipe_{at}" for at in range(1, layer.chained)]
        for number, node in enumerate(nodes):
            part = next((part for part in layer.parts if node == part.node), None)
            last = number == len(nodes) - 1 or layer.chained == 1
            narrow = {"outbytes_o": 2, "shift_o": layer.s1} if last else {"outbytes_o": 3, "shift_o": 0}
            kernel = part.kernel if part else (1, 1)
            size = {"kernelHeight": kernel[0], "kernelWidth": kernel[1]}
            rounding = {"rounding_o": 1, "saturation_o": 1, "relu_mode_o": 0}
            fields = {"simd": 1, "fsub": layer.fsub, **rounding, **narrow, **size}
            unit = self.unit("CONV_ACC_V2", "Convacc", node, "Conv", number, epoch, fields)
            if part is not None and part.begin is not None and part.end is not None:
                sizes = [end - begin for begin, end in zip(part.begin, part.end, strict=True)]
                mask = "_".join(map(str, (*part.begin, *sizes)))
                weights = self.dma(node, "in", 1, epoch, f"{name}_weights_submask_{mask}_7", nbits_in=8)
                self.wire(node, unit, 1, weights)
        if self.streamed and layer.sh1 is not None and layer.channels > 1:
            self.wide(layer)
            return
        if layer.sh1 is not None:
            fields = self.coefficients("A", layer.a, 16)
            self.affine(f"{name}_mul_scale_2", "Mul", epoch, layer.channels, layer.sh1, fields)
            a = {"A_scalar": layer.a2, "A_vector": "{0}"}
        else:
            a = self.coefficients("A", layer.a, 16)
        last_node, epoch = f"{name}_off_bias_3", layer.epochs[-1]
        self.affine(last_node, "Add", epoch, layer.channels, layer.s2, {**a, **self.addend(layer.bc)})
        self.output(last_node, epoch, layer.output)

    def wide(self, layer: CompiledSum) -> None:
        """Write the narrowings of a layer with many channels: A1 and the bias come as streams.

        They come batch by batch, those of a batch as often as a line of the plane has elements. BC is A2 * bias - 2^27.
        """
        epoch, name = layer.epochs[0], layer.name
        batch = next(size for size in range(layer.channels // 2, 0, -1) if layer.channels % size == 0)
        line, height, blocks = 3, 5, layer.channels // batch
        assert layer.a2 is not None
        bias = (np.broadcast_to(layer.bc, layer.channels) + (2**15 << 12)) // layer.a2
        middle, last = f"{name}_mul_scale_2", f"{name}_off_bias_3"
        mul = {"operation": "ARITH_MUL", "dualinput": 1, "batchDepth": batch, "A_scalar": 1}
        add = {"A_scalar": layer.a2, "B_scalar": layer.a2, "C_scalar": -(2**15), "C_shift": 12}
        rows = (
            (middle, "Mul", layer.sh1, mul, np.broadcast_to(layer.a, layer.channels)),
            (last, "Add", layer.s2, {**add, "dualinput": 1, "batchDepth": batch}, bias),
        )
        for node, operator, shift, fields, numbers in rows:
            unit = self.affine(node, operator, epoch, layer.channels, shift or 0, fields)
            repeated = np.tile(numbers.reshape(blocks, 1, batch), (1, line, 1)).astype("<i2")
            at = len(self.flash)
            self.flash += repeated.tobytes() + bytes(-repeated.nbytes % 8)
            size = repeated.nbytes // blocks
            frames = {"loop_offset": size, "frame_loop_cnt": height, "frame_tot_cnt": blocks * height}
            where = {"addr_base": f"{{(unsigned char *)({FLASH.base:#x}UL)}}", "offset_start": at, "nbits_in": 16}
            self.wire(node, unit, 1, self.dma(node, "in", 1, epoch, f"{node}_stream", **where, **frames))
        self.output(last, epoch, layer.output)

    def output(self, node: str, epoch: int, tensor: str) -> None:
        if tensor:
            self.dma(node, "out", 0, epoch, tensor, nbits_out=8)

    def add(self, layer: CompiledAdd) -> None:
        epoch, names = layer.epochs[0], {"A_shift": "Ax_shift", "B_shift": "By_shift", "S": "shift_o"}
        fields = {names.get(key, key if "_" in key else f"{key}_scalar"): value for key, value in layer.numbers}
        shift = int(fields.pop("shift_o"))
        unit = self.affine(layer.name, "Add", epoch, 8, shift, {**fields, "dualinput": 1, "combinebc": 0})
        for port, operand in enumerate(layer.operands):
            if operand:
                self.wire(layer.name, unit, port, self.dma(layer.name, "in", port, epoch, operand, nbits_in=8))
        self.output(layer.name, epoch, layer.output)

    def pool(self, layer: CompiledPool) -> None:
        numbers = {"mulval": layer.multiplier, "shift_o": layer.shift, "outbytes_o": layer.bits // 8}
        window = {"poolWinY": layer.window[0], "poolWinX": layer.window[1]}
        fields = {"operation": _POOLS[layer.operation], **numbers, **window}
        self.unit("POOL_ACC_V2", "Poolacc", layer.name, "Pool", 0, layer.epochs[0], fields)
        self.output(layer.name, layer.epochs[0], layer.output)

    def lookup(self, layer: CompiledLookup) -> None:
        fields: dict[str, Any] = {"operation": _ACTIVATIONS[layer.operation], **dict(layer.numbers)}
        for label, data in layer.tables:
            fields |= {f"{label}_vector": self.vector(data), f"{label}_nbytes": len(data)}
        self.unit("ACTIV_ACC_V2", "Activacc", layer.name, layer.operator, 0, layer.epochs[0], fields)
        self.output(layer.name, layer.epochs[0], layer.output)

    def node(self, node: OnProcessor) -> None:
        self.lines += ["/* Unit= 27 [PROCESSOR 0] */", f"/* kind={node.operator} node={node.name} */"]


def head(network: CompiledNetwork) -> list[str]:
    release, _, dev = network.compiler.partition("-")
    numbers = dict(zip(("MAJOR", "MINOR", "MICRO", "DEV"), (*release.split("."), dev or "0"), strict=True))
    tests = " || ".join(f"LL_ATON_VERSION_{key} != {value}" for key, value in numbers.items())
    lines = ["/* AUTOGENERATED DO NOT MODIFY */", f"#if {tests}", '#  warning "Possible mismatch"', "#endif"]
    for index, pool in enumerate(network.pools):
        of = f"index={index} file postfix={pool.name} name=memory{index}"
        lines.append(f"/* {of} offset={pool.base:#x}  absolute_mode size={pool.size} READ_WRITE score=1  */")
    return lines


def body(network: CompiledNetwork, written: Written) -> list[str]:
    """Write the functions of the epochs that have layers, in order."""
    layers = [*network.sums, *network.adds, *network.poolings, *network.lookups]
    writers = {CompiledSum: written.sum, CompiledAdd: written.add, CompiledPool: written.pool}
    for epoch in network.epochs:
        written.lines.append(f"/* scheduling epoch={epoch.number}    nodes={len(epoch.nodes)} ----- */")
        start = f"ec_trace_start_epoch({epoch.number});" if written.controller else ""
        begin = start or f"static void LL_ATON_Start_EpochBlock_{epoch.number}(const void *epoch_block)\n{{"
        written.lines.append(begin)
        for layer in layers:
            if layer.epochs[0] == epoch.number:
                writers.get(type(layer), written.lookup)(layer)  # type: ignore[operator]
        for node in network.processor:
            if node.epoch == epoch.number:
                written.node(node)
        written.lines.append("" if written.controller else "}")
    return written.lines


def info(network: CompiledNetwork) -> dict[str, Any]:
    """Return what c_info.json has of the places."""
    memories = [
        {"id": index + 1, "address": str(pool.base), "fname": f"atonbuf.{pool.name}.raw", "offset_start": 0}
        for index, pool in enumerate(network.pools)
    ]
    memories.append({"id": 99, "address": "", "fname": "atonbuf._user_io_input_0.c", "user_allocated": True})
    ids = {pool.name: index + 1 for index, pool in enumerate(network.pools)}
    bases = {pool.name: pool.base for pool in network.pools}
    buffers = []
    for index, place in enumerate(network.places):
        row: dict[str, Any] = {
            "id": index + 1,
            "name": place.name,
            "mpool_id": ids.get(place.pool, 99),
            "offset_start": 0 if place.address is None else place.address - bases[place.pool],
            "size_bytes": place.size,
            "shape": list(place.shape),
            "epochs": {"start": place.first_epoch, "end": place.last_epoch},
            "nbits": place.bits,
            "qmn": {"m": place.qm, "n": place.qn, "sign": int(place.signed)},
            "batch": place.batch,
            "channel_first": place.channels in ("first", "both"),
            "channel_last": place.channels in ("last", "both"),
            "is_param": place.role == "parameter",
        }
        if place.scales:
            row["intq"] = {"scales": list(place.scales), "offsets": list(place.zero_points)}
        buffers.append(row)
    graph = {
        f"{role}s": [i + 1 for i, p in enumerate(network.places) if p.role == role] for role in ("input", "output")
    }
    return {"buffers": buffers, "graphs": [graph], "memory_pools": memories}


def write_folder(
    folder: Path, network: CompiledNetwork, controller: bool = False, streamed: bool = False
) -> CompiledNetwork:
    """Write the folder of a network, and return the network with the content of its memories.

    streamed: whether layers with a middle narrowing have their coefficients as streams, as wide ones have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = Written(network, controller, streamed)
    lines = body(network, written)
    if controller:
        words = np.frombuffer(bytes(written.flash), "<u8")
        array = ",".join(f"{int(word):#018X}ULL".replace("0X", "0x") for word in words)
        start = (
            [f"static const uint64_t __ec_params_memory_pool_base[{len(words)}] = {{\n{array}\n}};"] if array else []
        )
        trace = [*start, "void trace_ec__ec_blob_1(void) {", *lines, "}"]
        (folder / "network_blob_trace.c").write_text("\n".join(trace) + "\n", encoding="utf-8")
        lines = ["LL_ATON_EpochBlockItems_Default", ".blob_address = (uintptr_t) (_ec_blob_1),"]
    (folder / "network.c").write_text("\n".join([*head(network), *lines]) + "\n", encoding="utf-8")
    if network.places:
        (folder / "network_c_info.json").write_text(json.dumps(info(network)), encoding="utf-8")
    if network.originals:
        nodes = {name: {"names": list(names)} for name, names in network.originals}
        (folder / "net_OE_3_3_0_Q.json").write_text(json.dumps({"nodes": nodes}), encoding="utf-8")
    content = bytes(written.flash)
    if controller or not content:
        return network
    (folder / f"network_atonbuf.{FLASH.name}.raw").write_bytes(content)
    pools = tuple(replace(pool, content=content) if pool.name == FLASH.name else pool for pool in network.pools)
    return replace(network, pools=pools)


# -- random networks ---------------------------------------------------------------------------------------------------
def random_network(rng: np.random.Generator) -> CompiledNetwork:
    """Draw a network with layers of every kind; its numbers mean nothing."""
    older = bool(rng.integers(2))
    sums = tuple(_random_sum(rng, f"Conv2D_{at}", at + 1, older) for at in range(int(rng.integers(1, 5))))
    first = len(sums) + 1
    adds = tuple(_random_add(rng, f"Add_{first + at}", first + at) for at in range(int(rng.integers(0, 3))))
    first += len(adds)
    kinds = rng.permutation(list(_POOLS))[: rng.integers(0, 3)].tolist()
    pools = tuple(_random_pool(rng, f"Pool_{first + at}", first + at, kind) for at, kind in enumerate(kinds))
    first += len(pools)
    lookups = tuple(_random_lookup(rng, f"Sigmoid_{first + at}", first + at) for at in range(int(rng.integers(0, 2))))
    first += len(lookups)
    processor = tuple(OnProcessor(f"Transpose_{first + at}", first + at, "Transpose") for at in range(2))
    places = tuple(
        _random_place(rng, f"tensor_{at}", role) for at, role in enumerate(("input", "output", "activation"))
    )
    return CompiledNetwork(
        compiler="1.1.1-14" if older else "1.1.3-275",
        profile="neural-art-1.1.1" if older else "neural-art-1.1.3",
        pools=(FLASH, RAM),
        epochs=_epochs((*sums, *adds, *pools, *lookups), processor),
        sums=sums,
        adds=adds,
        poolings=pools,
        lookups=lookups,
        processor=processor,
        places=places,
        originals=(("Conv2D_0", ("/stem/conv",)),),
    )


def _epochs(layers: Any, processor: tuple[OnProcessor, ...]) -> tuple[Epoch, ...]:
    found = []
    for layer in layers:
        nodes: tuple[str, ...] = (layer.name,)
        if isinstance(layer, CompiledSum):
            own = [part.node for part in layer.parts] or [layer.name]
            chain = [f"{own[-1]}_ca_pipe_{at}" for at in range(1, layer.chained)]
            before = [f"{layer.name}_suboff_1"] if layer.zero_point == "to uint8" else []
            middle = [] if layer.sh1 is None else [f"{layer.name}_mul_scale_2"]
            nodes = (*before, *own, *chain, *middle, f"{layer.name}_off_bias_3")
        found.append(Epoch(layer.epochs[0], "hardware", nodes))
    return (*found, *(Epoch(node.epoch, "software", (node.name,)) for node in processor))


def _random_sum(rng: np.random.Generator, name: str, epoch: int, older: bool) -> CompiledSum:
    channels = int(rng.integers(1, 20))
    split = rng.integers(4) == 0
    rows = int(rng.integers(1, 4))
    parts = (
        KernelPart(f"{name}_subm_0", (0, 0, 0, 0), (channels, 3, rows, 5), (rows, 5)),
        KernelPart(f"{name}_subm_1", (0, 0, rows, 0), (channels, 3, 5, 5), (5 - rows, 5)),
    )
    zero = str(rng.choice(["to uint8", "fsub", "none"]))
    return CompiledSum(
        name=name,
        epochs=(epoch,),
        channels=channels,
        s1=int(rng.integers(0, 12)),
        a=rng.integers(-(2**15), 2**15, channels if channels > 1 and rng.integers(2) else 1),
        bc=rng.integers(-(2**31), 2**31, channels if channels > 1 and rng.integers(2) else 1),
        s2=20 if older else int(rng.integers(13, 22)),
        sh1=int(rng.integers(10, 20)) if older else None,
        a2=int(rng.integers(2**14, 2**15)) if older else None,
        zero_point=zero,
        fsub=int(rng.integers(1, 127)) if zero == "fsub" else 0,
        parts=parts if split else (),
        chained=1 if split else int(rng.integers(1, 4)),
        output=f"{name}_off_bias_out_4" if rng.integers(2) else "",
    )


def _random_add(rng: np.random.Generator, name: str, epoch: int) -> CompiledAdd:
    letters = {letter: int(rng.integers(-(2**15), 2**15)) for letter in "ABC"}
    shifts = {key: int(rng.integers(0, 6)) for key in ("A_shift", "B_shift", "C_shift")}
    numbers = tuple({**letters, **shifts, "S": int(rng.integers(10, 20))}.items())
    return CompiledAdd(name, (epoch,), numbers, ("left_out_1", "right_out_2"), f"{name}_out_0")


def _random_pool(rng: np.random.Generator, name: str, epoch: int, operation: str) -> CompiledPool:
    window = (0, 0) if "global" in operation else (2, 3)
    average = "average" in operation
    multiplier, shift = (int(rng.integers(2**13, 2**15)), 16) if average else (0, 0)
    return CompiledPool(name, (epoch,), operation, window, multiplier, shift, 8 * int(rng.integers(1, 3)), f"{name}_o")


def _random_lookup(rng: np.random.Generator, name: str, epoch: int) -> CompiledLookup:
    fields = ("shift_f", "shift_o", "parameter", "parameter_2", "shift_b", "shift_c", "shift_norm", "bwidth", "fsub")
    numbers = tuple((key, int(rng.integers(0, 16))) for key in fields)
    tables = (("ROM0", rng.bytes(16)), ("ROM1", rng.bytes(186)))
    return CompiledLookup(name, (epoch,), "Sigmoid", "function", numbers, tables, f"{name}_out_0")


def _random_place(rng: np.random.Generator, name: str, role: str) -> TensorPlace:
    user = bool(rng.integers(2)) and role != "activation"
    return TensorPlace(
        name=name,
        address=None if user else RAM.base + int(rng.integers(0, 1000)),
        size=48,
        pool="_user_io_input_0.c" if user else RAM.name,
        shape=(1, 3, 4, 4),
        first_epoch=1,
        last_epoch=2,
        bits=8,
        signed=bool(rng.integers(2)),
        channels=str(rng.choice(["first", "last", "both", "mixed"])),
        batch=3,
        qm=7,
        qn=0,
        scales=(0.25,),
        zero_points=(-3,),
        role=role,
    )
