"""Results laid over a picture of the network: node data for Model Explorer, metadata of the nodes for Netron.

Source of the format: google-ai-edge/model-explorer, model_explorer/node_data_builder.py (0.1.34), GraphNodeData: a
value and a colour for each node, by the name of an output tensor. Netron has no such file: it shows the metadata_props
of a model's nodes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.compare.status import EQUAL, FAILING, INHERITED
from qdqnp.files.atomic import Target, write_bytes, write_text
from qdqnp.graph import Graph
from qdqnp.layer_quality.report import QualityReport
from qdqnp.program import Program
from qdqnp.reader.annotate import annotated
from qdqnp.reader.proto import Source

#: What a value means, from nothing to the most there is.
GRADIENT = ({"stop": 0, "bgColor": "#ffffff"}, {"stop": 1, "bgColor": "#5b9bd5"})
GREEN, YELLOW, RED = "#c6e5c3", "#ffe699", "#f4a6a0"
COLORS = {EQUAL: GREEN, INHERITED: YELLOW, **dict.fromkeys(FAILING, RED)}


@dataclass(frozen=True)
class NodeNote:
    """What is said of one layer."""

    #: The number by which nodes are sorted and coloured.
    value: float
    #: A colour of CSS; '' for the gradient's.
    color: str = ""
    #: What Netron shows, by name.
    facts: Mapping[str, str] = field(default_factory=dict)


def compare_notes(report: CompareReport) -> dict[str, NodeNote]:
    """Return what a comparison says of each layer, by its label: the share of elements that differ, its own first."""
    notes = {}
    for row in report.rows:
        if row.label:
            facts = {
                "qdqnp status": row.status,
                "qdqnp differing": f"{row.own.differing} of {row.own.elements}, by up to {row.own.largest}",
                "qdqnp explanation": row.explanation,
            }
            color = COLORS.get(row.status, YELLOW)
            notes[row.label] = NodeNote(row.own.share, color, {name: text for name, text in facts.items() if text})
    return notes


def quality_notes(report: QualityReport) -> dict[str, NodeNote]:
    """Return what `quality` says of each layer, by its label: its own noise as a share of the signal, at most 1."""
    notes = {}
    for row in report.rows:
        noises = {"entire": row.sums.entire, "single": row.sums.single, "own": row.sums.own}
        facts = {f"qdqnp {name} SQNR": f"{noise.sqnr:.1f} dB" for name, noise in noises.items()}
        notes[row.label] = NodeNote(
            min(row.sums.own.share, 1.0), "", {**facts, **({"qdqnp quality": row.why} if row.why else {})}
        )
    return notes


def inspect_notes(found: Mapping[str, Any]) -> dict[str, NodeNote]:
    """Return what `inspect` says of each layer, by its label: its multiply-accumulates."""
    notes = {}
    for layer in found["layers"]:
        names = ("op", "macs", "weight_bytes", "proof", "requantization", "promise")
        facts = {f"qdqnp {name}": str(layer[name]) for name in names if layer[name] not in (None, "")}
        notes[layer["label"]] = NodeNote(float(layer["macs"] or 0), "", facts)
    return notes


def node_data(title: str, notes: Mapping[str, NodeNote], graph: Graph, program: Program) -> str:
    """Return the JSON that Model Explorer loads as node data for a model's graph.

    title: what the data are called.
    notes: by the label of a layer.
    graph: the file's graph: every node that a layer stands for has the layer's value.
    program: the layers.
    """
    outputs = {node.label: [name for name in node.outputs if name] for node in graph.nodes}
    results: dict[str, Any] = {}
    for step in program.steps:
        note = notes.get(step.label)
        if note is not None:
            colored = {"bgColor": note.color} if note.color else {}
            value = note.value if math.isfinite(note.value) else 0
            made = [name for label in step.origin for name in outputs.get(label, [])]
            results.update({key: {"value": value, **colored} for key in (*made, *step.output_names)})
    gradient = {} if any(note.color for note in notes.values()) else {"gradient": list(GRADIENT)}
    return json.dumps({"name": title, "results": results, **gradient}, indent=1) + "\n"


def write_node_data(
    out: Target, title: str, notes: Mapping[str, NodeNote], graph: Graph, program: Program, source: Source
) -> None:
    """Write node data as JSON for Model Explorer, or, to a file .onnx, the model with metadata of its nodes for Netron.

    source: the model. Raises QdqnpError for what cannot be written.
    """
    if out.path.suffix != ".onnx":
        write_text(out, node_data(title, notes, graph, program))
        return
    facts = {label: dict(notes[s.label].facts) for s in program.steps if s.label in notes for label in s.origin}
    write_bytes(out, annotated(source, facts))
