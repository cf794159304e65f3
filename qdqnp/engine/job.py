"""What is done to many inputs: a Job, and the Shards that it is done to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

from qdqnp.files.documents import parse_json

#: Computes the partial result of a shard from its items. Several threads may call it at once.
Task = Callable[[Any], Any]


class Job(Protocol):
    """An immutable description of work, which can be pickled. It is sent to each worker once, and so are its blobs."""

    def identity(self) -> Mapping[str, Any]:
        """Return all that a result depends on, apart from the items: hashes of models, profile, preprocessing ... as
        JSON."""

    def blobs(self) -> Mapping[str, bytes]:
        """Return what is large, such as models, by its sha256. The job's own pickle should not hold it (see Blobs)."""

    def prepare(self, blobs: Mapping[str, bytes]) -> Task:
        """Return the function of a shard's items that computes its partial result: counts, names, texts, in lists and
        tables that JSON has; or bytes. A worker calls this once for a job.

        blobs: what `blobs` returned.
        """


@dataclass(frozen=True)
class Shard:
    """Some of the inputs."""

    #: The number of the shard, from 0, for messages and progress.
    index: int
    #: What the job's function takes, such as paths of pictures, or arrays; it is pickled.
    items: Any
    #: The sha256 of what the items are, such as the hashes of the pictures: under this key the result is kept.
    key: str


class Workplace(TypedDict, total=False):
    """Where shards are computed: the keyword arguments of run_shards that functions pass on to it."""

    #: Who does it, where the caller has an executor; it is left open.
    executor: Executor | None
    #: The number of processes on this machine, None for as many as there are processors; 1 is this process.
    workers: int | None
    #: The address of a Dask scheduler, such as 'tcp://host:8786', instead of processes of this machine.
    scheduler: str | None
    #: A folder that keeps finished shards: what is in it is not computed again. None keeps nothing.
    results: Path | None


class Blobs(Mapping[str, bytes]):
    """Bytes by their sha256. A pickle of it holds the names alone: the engine sends the bytes, to each worker once.

    >>> import pickle
    >>> blobs = Blobs(b"a model")
    >>> (key,) = blobs
    >>> blobs[key], len(pickle.loads(pickle.dumps(blobs)))
    (b'a model', 0)
    """

    def __init__(self, *parts: bytes) -> None:
        self._held = {key_of(part): part for part in parts}

    def __getitem__(self, key: str) -> bytes:
        return self._held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __reduce__(self) -> tuple[Any, ...]:
        return Blobs, ()


def key_of(*parts: object) -> str:
    """Return the sha256 of one value that is bytes, or of any number of values that JSON has, in hexadecimal digits.

    >>> key_of(b"a model")[:8], key_of("a", 1)[:8], key_of("a", 1) == key_of("a", 1.0)
    ('97ff8a35', '135f17a4', False)
    """
    whole = parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else canonical(list(parts))
    return hashlib.sha256(whole).hexdigest()


def canonical(value: object) -> bytes:
    """Return a value as JSON whose bytes depend on nothing but the value; tables are sorted.

    Raises TypeError and ValueError for what JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain).encode()


# What the partial result behind the first byte is.
_JSON, _BYTES = b"J", b"B"


def encoded(partial: object) -> bytes:
    """Return a partial result as bytes: what JSON has, with tables in their order, or bytes as they are.

    Raises TypeError and ValueError for what JSON does not have, such as NaN.
    """
    if isinstance(partial, bytes):
        return _BYTES + partial
    return _JSON + json.dumps(partial, separators=(",", ":"), allow_nan=False, default=_plain).encode()


def decoded(data: bytes) -> Any:
    """Return a partial result from its bytes. Raises ValueError for what a job cannot have made."""
    if data[:1] == _BYTES:
        return data[1:]
    if data[:1] != _JSON:
        raise ValueError("no partial result")
    return parse_json(data[1:])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # NumPy's scalars
        return value.item()
    raise TypeError(f"no JSON for {type(value).__name__}")
