"""Sessions of ONNX Runtime as its users open them: one for each kind of session that a profile stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.errors import PeerError, Problem
from qdqnp.peers.ort.child import Child
from qdqnp.peers.ort.probe import saturates
from qdqnp.peers.ort.session import KINDS, OFF, PRECISE, SessionKind, Sessions, import_onnxruntime
from qdqnp.quant import Array

#: The kinds by names of their own: 'session' is that of the profile 'ort', 'session-x64' that of 'ort-x64', and so on.
SESSIONS: Mapping[str, SessionKind] = {f"session{kind.profile.removeprefix('ort')}": kind for kind in KINDS.values()}


class UserSession:
    """One model in a session as users open it, in a process of its own unless told otherwise. Its attribute `config` is
    the session configuration that was used.

        model: the model's path or bytes.
        name: one of `SESSIONS`.
        threads: number of threads.
        sessions: where ONNX Runtime runs.

    Raises PeerError where onnxruntime is missing, refuses the model, or has no such session on this CPU.

    >>> from qdqnp.inputs.shipped import shipped_model
    >>> session = UserSession(str(shipped_model("dla46_c_int8")), "session-x64")
    >>> session.outputs(["output"], {"input": np.zeros((1, 3, 32, 32), np.float32)})["output"].shape
    (1, 10)
    >>> dict(session.config)
    {'session.qdqisint8allowed': '0'}
    """

    def __init__(self, model: str | bytes, name: str, threads: int = 1, sessions: Sessions | None = None) -> None:
        self.kind = SESSIONS[name]
        self._sessions: Sessions = sessions or Child()
        self._session, self.config = open_kind(self._sessions, model, self.kind, self.kind.users, threads)

    def outputs(self, names: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return these outputs by name, for inputs of the dtypes that the model declares. Raises PeerError."""
        values = {name: np.asarray(array, order="C") for name, array in feeds.items()}
        return dict(zip(names, self._sessions.run(self._session, names, values), strict=True))

    @property
    def described(self) -> str:
        """Say which session it is: onnxruntime's version, the level of optimization, the configuration."""
        return described(self.kind, self.config)


def described(kind: SessionKind, config: Mapping[str, str] | None = None) -> str:
    """Say which session a kind is; config: that of an open one, else what the kind asks for.

    >>> version, _, rest = described(SESSIONS["session"]).partition(", ")
    >>> version.startswith("onnxruntime 1."), rest
    (True, 'ORT_ENABLE_ALL, session.qdqisint8allowed=1')
    """
    entries = kind.config if config is None else config
    parts = [f"onnxruntime {import_onnxruntime().__version__}", kind.users, *(f"{k}={v}" for k, v in entries.items())]
    return ", ".join(parts)


def open_kind(
    sessions: Sessions, model: str | bytes, kind: SessionKind, level: str, threads: int
) -> tuple[Any, Mapping[str, str]]:
    """Open a session of a kind, and return it with the configuration that it has.

        sessions: where it is opened.
        model: the model's path or bytes.
        kind: the kind.
        level: the level of graph optimization.
        threads: number of threads.

    Raises PeerError as `UserSession` does.
    """
    _require(kind)
    config = dict(kind.config)
    if not kind.saturating and kind.level != OFF and saturates():
        try:
            return sessions.open(model, level, {**config, **PRECISE}, threads), {**config, **PRECISE}
        except PeerError:
            pass  # see PRECISE: int8 activations
    return sessions.open(model, level, config, threads), config


def _require(kind: SessionKind) -> None:
    """Refuse a profile whose sums this CPU's onnxruntime adds up in another way."""
    if kind.saturating and not saturates():
        hint = "Run it on x86-64 without VNNI, or compare with --profile ort-x64."
        problem = Problem("this machine", "a CPU on which uint8 x int8 products saturate", "exact products", hint)
        raise PeerError(f"no session here computes '{kind.profile}'", [problem])
