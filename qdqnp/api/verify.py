"""verify: does every tensor equal ONNX Runtime's, bit for bit?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdqnp.api.arguments import AnyModel, AnyProfile, Operators, Texts, name_of, opened, profile_with, source_of
from qdqnp.api.inputs import AnyInputs, AnyPreprocessing, inputs_of
from qdqnp.api.progress import Progress, counted
from qdqnp.api.result import Result
from qdqnp.diagnosis.verify import VerifyReport
from qdqnp.diagnosis.verify import verify as verified
from qdqnp.errors import Problem, ProfileError
from qdqnp.peers.ort.child import Child
from qdqnp.peers.ort.peer import OrtPeer, host
from qdqnp.peers.ort.session import KINDS


@dataclass(frozen=True, repr=False, eq=False)
class VerifyResult(Result):
    """Every tensor here against ONNX Runtime's."""

    #: Name of the model's file.
    model: str
    #: The machine and the versions that were compared.
    host: Mapping[str, str]
    #: The configuration of ONNX Runtime's session.
    session: Mapping[str, Any]
    #: The tensors, and what they add up to.
    report: VerifyReport

    columns = ("label", "op", "name", "shape", "elements", "differing", "accepted", "largest", "missing", "promise")

    @property
    def equal(self) -> bool:
        """Return whether every output was compared and no element differs that must not."""
        return self.report.equal

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 1 for elements that differ, 2 where there was nothing to judge by."""
        return 0 if self.equal else 1 if self.report.differing else 2

    def summary(self) -> str:
        return self.report.verdict()

    def document(self) -> dict[str, Any]:
        return {"model": self.model, "host": self.host, "session": self.session, **self.report.as_json()}


def verify(
    model: AnyModel,
    inputs: AnyInputs = None,
    *,
    outputs: Texts = (),
    operators: Operators = (),
    profile: AnyProfile = "ort",
    random: int | None = None,
    seed: int = 0,
    preprocess: AnyPreprocessing | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> VerifyResult:
    """Run a model here and in ONNX Runtime, and compare every tensor bitwise, as `qdqnp verify` does.

        model: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        inputs: an array, arrays by name, a file, or several of these; None for random inputs.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        profile: which session to hold against.
        random: number of seeded random inputs; one where there are no inputs.
        seed: their seed.
        preprocess: what is done to pictures: a TOML file, its values by name, or a Preprocessing.
        threads: how many compute at a time, as in `Model.run`.
        progress: called with how many inputs are done, and of how many.

    Raises ProfileError for a profile that no session computes, PeerError where ONNX Runtime is missing or refuses the
    model, ModelError and InputError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = qdqnp.verify(shipped_model("dla46_c_int8"), random=2)
    >>> found.equal, found.report.inputs
    (True, 2)
    """
    named = _session_of(profile)
    loaded = opened(model, outputs, operators)
    loaded.plan(named)  # first: its errors say more than ONNX Runtime's
    peer = OrtPeer(source_of(model, outputs, operators), named, sessions=Child())
    runs, total = inputs_of(inputs, random, seed, preprocess).feeds(loaded.program(named))
    report = verified(loaded, peer, counted(runs, total, "comparing", progress), named, threads)
    return VerifyResult(name_of(model), host(), peer.config, report)


def _session_of(profile: AnyProfile) -> str:
    """Return the name of the profile. Refuses profiles that no session of ONNX Runtime computes on x86-64."""
    name = profile_with(profile).name
    if name not in KINDS:
        hint = f"Compare it with a session's: qdqnp diff MODEL --profiles ort,{name}"
        raise ProfileError("nothing to verify against", [Problem("profile", f"one of {', '.join(KINDS)}", name, hint)])
    return name
