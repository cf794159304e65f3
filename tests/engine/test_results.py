"""The folder of finished shards: what is in it is not computed again, and nothing that is wrong with it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdqnp import version
from qdqnp.engine import Blobs, key_of, run_shards
from qdqnp.errors import InputError, QdqnpError
from qdqnp.files.regular import noting_inputs
from tests.engine.jobs import Sums, expected, noted, shards


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Folders for notes and for results."""
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes", tmp_path / "deep" / "results"


def computed(notes: Path) -> int:
    """How many shards were computed since it was last asked."""
    done = list(notes.glob("done-*"))
    for path in done:
        path.unlink()
    return len(done)


def test_what_is_finished_is_not_computed_again(places: tuple[Path, Path]) -> None:
    notes, results = places
    job = Sums(notes)
    assert run_shards(job, shards(2), workers=1, results=results) == expected(2)
    assert computed(notes) == 2
    seen: list[int] = []
    found = run_shards(job, shards(5), workers=1, results=results, progress=lambda shard, _: seen.append(shard.index))
    assert found == expected(5) and seen == [0, 1, 2, 3, 4]
    assert computed(notes) == 3
    assert len(list(results.iterdir())) == 5
    assert all(len(path.name) == 69 and path.name.endswith(".json") for path in results.iterdir())


def test_another_model_or_version_or_shard_is_another_result(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, results = places
    run_shards(Sums(notes), shards(2), workers=1, results=results)
    assert computed(notes) == 2
    run_shards(Sums(notes, Blobs(b"other")), shards(2), workers=1, results=results)
    assert computed(notes) == 2
    run_shards(Sums(notes), shards(2, size=4), workers=1, results=results)
    assert computed(notes) == 2
    monkeypatch.setattr(version, "__version__", "0.0.9")
    run_shards(Sums(notes), shards(2), workers=1, results=results)
    assert computed(notes) == 2


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(edit: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def made(data: bytes) -> bytes:
        document = json.loads(data)
        other = edit(document)
        return json.dumps(document if other is None else other).encode()

    return made


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        lambda data: b"",
        lambda data: data.replace(b"27", b"28"),
        lambda data: b"[" * 100_000,
        lambda data: b"\xff" + data,
        changed(lambda document: document["partial"].update(sum=1)),
        changed(lambda document: document.update(sha256="0" * 64)),
        changed(lambda document: document["versions"].update(numpy="1.0")),
        changed(lambda document: document["job"].update(what="other")),
        changed(lambda document: document.update(shard="other")),
        changed(lambda document: document.update(more=1)),
        changed(lambda document: document.pop("partial") and None),
        changed(lambda document: [document]),
        changed(lambda document: document.update(partial=float("nan"))),
    ],
)
def test_a_damaged_file_is_computed_anew_and_replaced(
    places: tuple[Path, Path], damage: Callable[[bytes], bytes]
) -> None:
    notes, results = places
    run_shards(Sums(notes), shards(1), workers=1, results=results)
    (path,) = results.iterdir()
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    computed(notes)
    with noting_inputs():  # as commands do: what is replaced was not an input
        assert run_shards(Sums(notes), shards(1), workers=1, results=results) == expected(1)
    assert computed(notes) == 1
    assert path.read_bytes() == before


def test_a_result_of_another_shard_under_its_name_is_not_believed(places: tuple[Path, Path]) -> None:
    notes, results = places
    run_shards(Sums(notes), shards(2), workers=1, results=results)
    one, other = sorted(results.iterdir())
    one.write_bytes(other.read_bytes())
    computed(notes)
    assert run_shards(Sums(notes), shards(2), workers=1, results=results) == expected(2)
    assert computed(notes) == 1


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot keep results"):
        run_shards(Sums(tmp_path), shards(1), workers=1, results=tmp_path / "file")
    with pytest.raises(InputError, match="cannot keep results"):
        run_shards(Sums(tmp_path), shards(1), workers=1, results=tmp_path / "file" / "below")
    assert not noted(tmp_path, "prepared")


def test_a_link_in_the_place_of_a_result_is_neither_followed_nor_replaced(places: tuple[Path, Path]) -> None:
    notes, results = places
    run_shards(Sums(notes), shards(1), workers=1, results=results)
    (path,) = results.iterdir()
    (notes.parent / "other").write_bytes(b"precious")
    path.unlink()
    path.symlink_to(notes.parent / "other")
    with pytest.raises(QdqnpError, match="the result of a shard"):
        run_shards(Sums(notes), shards(1), workers=1, results=results)
    assert (notes.parent / "other").read_bytes() == b"precious"


def test_two_runs_may_share_a_folder(places: tuple[Path, Path]) -> None:
    """Where another run was faster with the same result, that is no error."""
    notes, results = places
    job = Sums(notes)

    class Slow(Sums):
        def _sum(self, items: Any, more: int) -> Any:
            run_shards(job, shards(1), workers=1, results=results)
            return super()._sum(items, more)

    assert run_shards(Slow(notes), shards(1), workers=1, results=results) == expected(1)
    assert len(list(results.iterdir())) == 1


def test_keys_are_of_what_is_meant() -> None:
    assert key_of("a", ["b"]) == key_of("a", ("b",)) != key_of("a", "b")
    with pytest.raises(TypeError):
        key_of(object())
