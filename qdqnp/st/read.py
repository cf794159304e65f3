"""Reads a compiled network out of the files that ST's compiler leaves; needs none of ST's software."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdqnp.errors import InputError, Problems
from qdqnp.st.compiled import CompiledNetwork, CompiledSum, Epoch, OnProcessor
from qdqnp.st.folder import Files, files_of
from qdqnp.st.layers import layers_of
from qdqnp.st.memory import Memory, controller_bytes, pools_of
from qdqnp.st.places import BUFFER, places_of
from qdqnp.st.structures import CSource, structures
from qdqnp.st.units import STREAM, UNITS, Unit, wiring_of

#: The types whose variables are read.
KEPT = (*UNITS, STREAM, BUFFER, "mpool_reloc_info_t", "uint64_t", "uint32_t", "int16_t", "float")
#: The profiles of the compiler's generations, by how often a layer narrows.
GENERATIONS = {2: "neural-art-1.1.3", 3: "neural-art-1.1.1"}

_VERSION = re.compile(
    r"LL_ATON_VERSION_MAJOR != (\d{1,4}) \|\| LL_ATON_VERSION_MINOR != (\d{1,4})"
    r" \|\| LL_ATON_VERSION_MICRO != (\d{1,4})(?: \|\| LL_ATON_VERSION_DEV != (\d{1,6}))?"
)
_DESCRIPTION = re.compile(r'GIT_DESCRIPTION +"atonn-v(\d{1,4}\.\d{1,4}\.\d{1,4})(-\d{1,6})?')


def read(folders: Sequence[Path]) -> CompiledNetwork:
    """Return the compiled network that lies in one folder or more.

        folders: what `stedgeai generate` wrote: st_ai_output, neural_art__NAME of st_ai_ws, or both.

    Raises InputError, which lists all that is wrong: files that are missing, truncated or damaged, addresses outside
    the memories, a release of the compiler whose arithmetic is not known.
    """
    files = files_of(folders)
    problems = Problems()
    sources = _sources(files, problems)
    found = _network(files, sources, problems)
    problems.raise_if_any(f"not a compiled network that can be read: {', '.join(map(str, folders))}", InputError)
    return found


def _sources(files: Files, problems: Problems) -> list[CSource]:
    found = []
    for name, text in files.sources.items():
        try:
            found.append(structures(text, name, KEPT))
        except InputError as error:
            problems.found.extend(error.problems)
    return found


def _network(files: Files, sources: list[CSource], problems: Problems) -> CompiledNetwork:
    listed = [structure for source in sources for structure in source.structures]
    comments = [comment for source in sources for comment in source.comments]
    tables = [structure for structure in listed if structure.type == "mpool_reloc_info_t"]
    pools = pools_of(comments, tables, files.contents, problems)
    memory = Memory(pools, controller_bytes((one for one in listed if one.type == "uint64_t"), problems), problems)
    wiring = wiring_of(sources)
    units = [Unit(structure, memory, problems) for structure in listed if structure.type in UNITS]
    layers = layers_of(units, wiring, problems)
    compiler = _compiler(files)
    profile = _generation(compiler, layers.sums, problems)
    return CompiledNetwork(
        compiler=compiler,
        profile=profile,
        pools=pools,
        epochs=_epochs(sources),
        sums=tuple(layers.sums),
        adds=tuple(layers.adds),
        poolings=tuple(layers.poolings),
        lookups=tuple(layers.lookups),
        processor=_processor(sources),
        places=places_of(sources, files.info, pools, problems),
        unexplained=tuple(layers.unexplained),
        originals=_originals(files.quantization, problems),
        graph="" if files.graph is None else files.graph.name,
    )


def _compiler(files: Files) -> str:
    """Return the compiler's release, such as '1.1.1-14'; '' where no file says it."""
    for text in files.sources.values():
        version = _VERSION.search(text)
        if version:
            return ".".join(version.groups()[:3]) + (f"-{version[4]}" if version[4] else "")
        described = _DESCRIPTION.search(text)
        if described:
            return described[1] + (described[2] or "")
    return ""


def _generation(compiler: str, sums: Sequence[CompiledSum], problems: Problems) -> str:
    """Return the profile of the compiler's generation: what the layers do decides, and the release must not object."""
    narrowings = {layer.narrowings for layer in sums}
    release = [int(part) for part in compiler.split("-")[0].split(".")] if compiler else []
    if release and not [1, 1, 0] <= release <= [1, 1, 3]:
        hint = "Its arithmetic may be another; nobody has compared it yet."
        problems.add("the compiler's release", "1.1.0 to 1.1.3", compiler, hint)
    if len(narrowings) > 1:
        problems.add("the layers", "all with two narrowings, or all with three", "both")
    least = min(narrowings) if narrowings else 2 if release >= [1, 1, 3] else 3
    if release and narrowings and (least == 2) != (release >= [1, 1, 3]) and release != [1, 1, 2]:
        problems.add(
            "the layers", f"{3 if release < [1, 1, 3] else 2} narrowings, as releases {compiler} have", str(least)
        )
    return GENERATIONS[least]


def _epochs(sources: Sequence[CSource]) -> tuple[Epoch, ...]:
    found: dict[int, dict[str, str]] = {}
    for source in sources:
        for mention in source.nodes:
            if mention.epoch >= 0:
                found.setdefault(mention.epoch, {}).setdefault(mention.node, mention.unit)
    return tuple(Epoch(number, _runs(nodes), tuple(nodes)) for number, nodes in sorted(found.items()))


def _runs(nodes: dict[str, str]) -> str:
    if any(unit and not unit.startswith("PROCESSOR") for unit in nodes.values()):
        return "hardware"
    return "software" if any(nodes.values()) else "none"


def _processor(sources: Sequence[CSource]) -> tuple[OnProcessor, ...]:
    found = {
        mention.node: OnProcessor(mention.node, mention.epoch, mention.kind)
        for source in sources
        for mention in source.nodes
        if mention.unit.startswith("PROCESSOR")
    }
    return tuple(found.values())


def _originals(document: Any, problems: Problems) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the names that nodes have in the model that was given to the compiler, from *_Q.json."""
    if document is None:
        return ()
    nodes = document.get("nodes", {}) if isinstance(document, dict) else None
    if not isinstance(nodes, dict):
        problems.add("*_Q.json", "a table with nodes", type(document).__name__)
        return ()
    found = []
    for name, row in nodes.items():
        names = row.get("names", []) if isinstance(row, dict) else []
        own = tuple(str(text) for text in names if text != "__FE_GENERATED__") if isinstance(names, list) else ()
        if own:
            found.append((name, own))
    return tuple(found)
