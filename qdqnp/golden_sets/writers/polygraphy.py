"""polygraphy: the inputs and tensors of each case as Polygraphy's JSON, for `--load-inputs` and `--load-outputs`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qdqnp.files.run_results import CLOSING, array_document, iteration_text, opening
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Writer
from qdqnp.golden_sets.tensor import Document
from qdqnp.quant import Array

INPUTS, OUTPUTS = "polygraphy/inputs.json", "polygraphy/outputs.json"
RUNNER = "qdqnp"
OUTPUT_ROLES = ("output", "network_output")


class PolygraphyWriter(Writer, name="polygraphy"):
    """Writes tensors under their ONNX names and in ONNX's order of axes, whatever order other formats store."""

    roles = ("network_input", *OUTPUT_ROLES)
    _inputs: dict[str, Array]
    _outputs: dict[str, Array]

    def begin(self, case: int) -> None:
        self._inputs, self._outputs = {}, {}

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        tensor = entry.tensor
        if tensor.role in self.roles:
            array = tensor.order.logical(stored).reshape(tensor.shape)
            held = self._inputs if tensor.role == "network_input" else self._outputs
            held[tensor.name] = array.copy()

    def end(self, case: int) -> None:
        between = "[\n" if case == 0 else ",\n"
        if self._inputs:
            documents = {name: array_document(array) for name, array in self._inputs.items()}
            self._append(INPUTS, between + json.dumps(documents))
        if self._outputs:
            between = opening(RUNNER) if case == 0 else ",\n"
            self._append(OUTPUTS, between + iteration_text(self._outputs, RUNNER))

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        if self._inputs:
            self._append(INPUTS, "\n]\n")
        if self._outputs:
            self._append(OUTPUTS, CLOSING)

    def place(self, entry: Entry) -> Document:
        role = entry.stored.tensor.role
        if role == "network_input":
            return {"file": INPUTS, "member": entry.tensor.name}
        return {"file": OUTPUTS, "member": entry.tensor.name} if role in OUTPUT_ROLES else {}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(name, text.encode())
