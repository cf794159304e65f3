"""The fuzzer guided by coverage: atheris keeps the files that reach new lines of qdqnp, and mutates those further.

    python -m tools.fuzz.fuzz --atheris -n 100000       or, with libFuzzer's own options:
    python -m tools.fuzz.fuzz_atheris -runs=100000 -artifact_prefix=findings/ corpus

The mutations and what counts as a finding are the same. It stops at the first finding. A folder named on the command
line keeps its corpus; without one it starts from the seeds each time. It is slower: every line reports to libFuzzer.
"""

from __future__ import annotations

import random
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qdqnp"]):
    import qdqnp.cli  # noqa: F401 - everything there is

import onnx
from google.protobuf.message import DecodeError

from tools.fuzz.fuzz_case import Case, Runner, Sandbox, Tally, catch_alarm
from tools.fuzz.fuzz_mutate import mutate_bytes, mutate_model
from tools.fuzz.fuzz_seeds import seeds

PROFILES = ("ort", "tflite", "exact")
SEEDS = seeds()


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Mutate a file: libFuzzer's custom mutator."""
    rng = random.Random(seed)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        model.CopyFrom(rng.choice(SEEDS))
    if rng.random() < 0.1:
        return mutate_bytes(rng, data)[:max_size]
    mutate_model(rng, model, SEEDS)
    return model.SerializeToString()[:max_size]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Sandbox(Path(folder).resolve()))
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for index, model in enumerate(SEEDS):
            (corpus / str(index)).write_bytes(model.SerializeToString())

        def one_input(data: bytes) -> None:
            rng = random.Random(zlib.crc32(data))
            finding = runner.attempt(Case(-1, data, rng.choice(PROFILES), rng), Tally())
            if finding is not None:
                raise RuntimeError(f"{finding.kind}\n{finding.trace}")

        catch_alarm()
        warnings.simplefilter("error")
        atheris.Setup(
            [*sys.argv, "-rss_limit_mb=2048", "-max_len=65536", str(corpus)], one_input, custom_mutator=mutated
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
