"""A folder of finished shards: a file for each, written whole or not at all, by the hash of all that its result depends
on.

    0f3a...9c.json    {"key": "0f3a...9c", "versions": ..., "job": ..., "shard": "...", "sha256": "...", "partial": ...}

A result that is bytes stands there in base64, as "bytes".

The folder is data from anywhere. A file that is not exactly what this run would have written around some partial result
is computed anew, and replaced; no name is ever taken from a file.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

from qdqnp.engine.job import Job, Shard, canonical, decoded, encoded, key_of
from qdqnp.engine.worker import versions_here
from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.files.atomic import target, write_bytes
from qdqnp.files.documents import parse_json
from qdqnp.files.parents import made_folder
from qdqnp.files.paths import reason
from qdqnp.files.regular import open_regular, read_all
from qdqnp.limits import readable_bytes

# Of the largest partial result that is kept.
MAX_BYTES = 2**28
_WHAT = "the result of a shard"


class Results:
    """The finished shards of one job in a folder."""

    def __init__(self, folder: Path, job: Job) -> None:
        """Look at the folder, and make it where nothing is there. Raises InputError where it cannot be one."""
        self._folder = folder
        self._versions = dict(versions_here())
        try:
            self._identity = parse_json(canonical(job.identity()))
        except TypeError as error:  # of `digest`: an operator that was given, whose code may change
            problem = Problem(f"folder {folder}", "a job of which each part can be told from another", str(error))
            raise InputError("results of such a job cannot be kept", [problem]) from error
        try:
            made_folder(folder)
        except (OSError, ValueError) as error:
            raise InputError("cannot keep results", [Problem(f"folder {folder}", "a folder", reason(error))]) from error

    def find(self, shard: Shard) -> bytes | None:
        """Return the partial result of a shard as JSON; None where there is none, or none that can be relied on."""
        about = self._about(shard)
        try:
            # not noted as an input: where it is of no use, it is replaced
            with open_regular(self._path(about), follow=False, note=False) as file:
                found = parse_json(read_all(file, MAX_BYTES))
            data = _result(found)
        except (OSError, ValueError):
            return None
        return data if found == about | {"sha256": key_of(data)} else None

    def keep(self, shard: Shard, data: bytes) -> None:
        """Write the partial result of a shard. Raises QdqnpError where it cannot be written."""
        about = self._about(shard)
        if len(data) > MAX_BYTES // 2:
            got = readable_bytes(len(data))
            problem = Problem(
                f"shard {shard.index}", f"at most {readable_bytes(MAX_BYTES // 2)}", got, "Make it smaller."
            )
            raise QdqnpError(f"{_WHAT} is too large to be kept", [problem])
        partial = decoded(data)
        named = {"bytes": b64encode(partial).decode()} if isinstance(partial, bytes) else {"partial": partial}
        whole = json.dumps(about | {"sha256": key_of(data)} | named).encode()
        try:
            write_bytes(target(self._path(about), _WHAT, force=True), whole)
        except QdqnpError:
            with suppress(OSError, ValueError):
                if self.find(shard) == data:
                    return  # another run that shares the folder was faster
            raise

    def _about(self, shard: Shard) -> dict[str, Any]:
        """Return what a file says apart from the result."""
        about = {"versions": self._versions, "job": self._identity, "shard": shard.key}
        return {"key": key_of(about), **about}

    def _path(self, about: dict[str, Any]) -> Path:
        return self._folder / f"{about['key']}.json"


def _result(found: Any) -> bytes:
    """Take the result out of a file. Raises ValueError where there is none."""
    if isinstance(found, dict) and "partial" in found:
        return encoded(found.pop("partial"))
    if isinstance(found, dict) and isinstance(found.get("bytes"), str):
        return encoded(b64decode(found.pop("bytes"), validate=True))
    raise ValueError("no result")
