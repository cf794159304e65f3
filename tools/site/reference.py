"""The pages of the API reference: which public names stand on which."""

from __future__ import annotations

import inspect
from types import ModuleType

import qdqnp
from qdqnp import api, backend, conformance, engine, golden_sets, model_card, ort, reduction, stimuli
from qdqnp.api import arguments, compare, dumps, explain, inputs
from qdqnp.api.result import Result

#: What a script imports from further inside: docs/capture.md and docs/adding.md have the examples.
DEVICES = [
    "qdqnp.peers.devices.serial_port.SerialSource",
    "qdqnp.peers.devices.c_library.CLibrary",
    "qdqnp.peers.devices.ai_runner.AiRunnerSource",
    "qdqnp.peers.devices.frames.Frame",
    "qdqnp.peers.devices.frames.encode",
    "qdqnp.peers.devices.frames.decode",
]
#: Not imported: pytest is in no extra of the site.
PLUGIN = [f"qdqnp.pytest_plugin.{name}" for name in ("assert_bit_exact", "golden_set", "GoldenLayer", "golden_layers")]
EXTENDING = [
    "qdqnp.ops.operator.Operator",
    "qdqnp.ops.operator.Inferred",
    "qdqnp.ops.operator.Binding",
    "qdqnp.ops.node_check.NodeCheck",
    "qdqnp.numerics.rule.Rule",
    "qdqnp.numerics.values.BoundRule",
    "qdqnp.numerics.choices.choice",
    "qdqnp.golden_sets.formats.Writer",
    "qdqnp.program.Program",
    "qdqnp.program.Step",
]


def public(module: ModuleType) -> list[str]:
    """Return the dotted names that a module offers."""
    return [f"{module.__name__}.{name}" for name in module.__all__ if not name.startswith("__")]


def _results() -> list[str]:
    """Return the result of each function of the front door."""
    names = {f"{found.__module__}.{found.__name__}" for found in Result.__subclasses__()}
    return [f"{Result.__module__}.Result", *sorted(name for name in names if name.startswith(f"{api.__name__}."))]


def _arguments() -> list[str]:
    """Return the names of what functions of the front door take."""
    modules = (arguments, inputs, dumps, compare, explain)
    return [f"{m.__name__}.{name}" for m in modules for name, kind in m.__annotations__.items() if kind == "TypeAlias"]


def pages() -> dict[str, tuple[str, str, list[str]]]:
    """Return the pages by file: the title, a sentence, and the names in their order."""
    names = public(qdqnp)
    objects = {name: getattr(qdqnp, name.removeprefix("qdqnp.")) for name in names}
    errors = [name for name in names if name.endswith("Error")]
    functions = [name for name in names if inspect.isfunction(objects[name])]
    classes = [name for name in names if name not in {*errors, *functions}]
    seen = ["qdqnp.layers.ModelLayer", "qdqnp.layers.ModelTensor", "qdqnp.trace.TracedLayer"]
    return {
        "functions.md": ("Functions", "One for each question; the commands have the same names.", functions),
        "classes.md": ("Models, traces, sessions", "What `qdqnp.load` and `Model.trace` return.", [*classes, *seen]),
        "arguments.md": ("Arguments", "What functions take; signatures link here.", _arguments()),
        "results.md": ("Results", "Each prints as a sentence and shows as a table.", _results()),
        "errors.md": ("Errors", "Everything that qdqnp raises on purpose.", errors),
        "golden_sets.md": ("qdqnp.golden_sets", "Golden sets, read and written.", public(golden_sets)),
        "stimuli.md": ("qdqnp.stimuli", "Inputs worth testing with.", public(stimuli)),
        "packages.md": (
            "Other packages",
            "Model cards, smallest failing models, the conformance pack, many inputs at once.",
            [name for package in (model_card, reduction, conformance, engine) for name in public(package)],
        ),
        "devices.md": ("Devices", "Where `capture` gets tensors from.", DEVICES),
        "extending.md": ("For operators, rules and formats of your own", "What these are made of.", EXTENDING),
        "ort.md": ("qdqnp.ort", "The names of onnxruntime that a script uses.", public(ort)),
        "backend.md": ("qdqnp.backend", "ONNX's backend interface.", [backend.__name__]),
        "pytest_plugin.md": ("qdqnp.pytest_plugin", "Fixtures and assertions for pytest.", PLUGIN),
    }


def text(title: str, sentence: str, names: list[str]) -> str:
    """Return one page: mkdocstrings puts the documentation of each name in the place of its line."""
    return "\n\n".join([f"# {title}", sentence, *map(_documented, names)]) + "\n"


def _documented(name: str) -> str:
    """Return the line that stands for a name; what is not imported by its whole name is headed by its last part."""
    short = "\n    options:\n      show_root_full_path: false" if name.startswith(f"{api.__name__}.") else ""
    return f"::: {name}{short}"
