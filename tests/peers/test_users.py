"""Sessions as users open them give what ONNX Runtime itself gives."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from qdqnp.errors import PeerError
from qdqnp.inputs.shipped import shipped_model
from qdqnp.peers.ort.session import Here
from qdqnp.peers.ort.users import SESSIONS, UserSession, described

MODEL = str(shipped_model("dla46_c_int8"))
#: What a user writes: the level, and the configuration.
WRITTEN = {
    "session": ("ORT_ENABLE_ALL", {"session.qdqisint8allowed": "1"}),
    "session-x64": ("ORT_ENABLE_ALL", {}),
    "session-unfused": ("ORT_DISABLE_ALL", {}),
}


@pytest.mark.parametrize("name", list(WRITTEN))
def test_a_session_is_the_one_that_a_user_writes(name: str) -> None:
    level, entries = WRITTEN[name]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    theirs = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    session = UserSession(MODEL, name)
    assert (
        session.outputs(["output"], {"input": x})["output"].tobytes()
        == theirs.run(["output"], {"input": x})[0].tobytes()
    )
    assert session.described == described(session.kind, session.config)
    assert onnxruntime.__version__ in session.described and level in session.described


def test_the_names_are_those_of_the_profiles() -> None:
    assert {name: kind.profile for name, kind in SESSIONS.items()} == {
        "session": "ort",
        "session-x64": "ort-x64",
        "session-unfused": "ort-unfused",
        "session-avx2": "ort-avx2",
    }


def test_a_session_that_this_cpu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.peers.ort.users.saturates", lambda: False)
    with pytest.raises(PeerError, match="ort-avx2"):
        UserSession(MODEL, "session-avx2", sessions=Here())


def test_on_a_saturating_cpu_the_precise_setting_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.peers.ort.users.saturates", lambda: True)
    asked = []

    class Refusing:
        def open(self, model, level, config, threads=1, save=None, without=()):
            asked.append(dict(config))
            if "session.x64quantprecision" in config:
                raise PeerError("no kernel")
            return 0

    session = UserSession(MODEL, "session-x64", sessions=Refusing())  # type: ignore[arg-type]
    assert [one.get("session.x64quantprecision") for one in asked] == ["1", None]
    assert dict(session.config) == {"session.qdqisint8allowed": "0"}
