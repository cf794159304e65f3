"""Inputs with their classes, for `quality`: folders as `eval` reads them, and what may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.api.inputs import Inputs
from qdqnp.api.labelled import LabelledRuns, labelled_runs
from qdqnp.errors import InputError
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.program import Program
from tests.evaluation.kit import class_folders, network, pictures, png

DIVIDED = Preprocessing(divisor=8)


def program(**changes: object) -> Program:
    return qdqnp.load(network(quantized=False, **changes)).program()  # type: ignore[arg-type]


def read(path: Path, **how: object) -> LabelledRuns:
    return labelled_runs(program(), Inputs((path,), pictures=DIVIDED), **how)  # type: ignore[arg-type]


def classes(found: LabelledRuns) -> dict[str, list[int]] | None:
    if found.labels is None:
        return None
    return {", ".join(run.names): one.tolist() for run, one in zip(found.runs, found.labels, strict=True)}


def flat(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number % 3))
    return folder


def test_class_folders_and_label_files(tmp_path: Path) -> None:
    wanted = {"a red/0.png": [0], "a red/1.png": [0], "b green/2.png": [1], "c blue/3.png": [2]}
    found = read(class_folders(tmp_path / "d"))
    assert classes(found) == wanted and found.runs[2].feeds()["x"].argmax() // 16 == 1
    reverse = {name: [2 - one for one in number] for name, number in wanted.items()}
    assert classes(read(tmp_path / "d", class_names=["c blue", "b green", "a red"])) == reverse
    folder = flat(tmp_path / "e")
    assert classes(read(folder)) is None
    (tmp_path / "mine.csv").write_text("0.png,2\n1.png,0\n2.png,1\n")
    stated = {"0.png": [2], "1.png": [0], "2.png": [1]}
    assert classes(read(folder, labels=tmp_path / "mine.csv")) == stated
    (tmp_path / "mine.csv").rename(tmp_path / "e_labels.csv")
    assert classes(read(folder)) == stated


def test_batches_of_pictures_have_a_class_for_each(tmp_path: Path) -> None:
    given = Inputs((class_folders(tmp_path / "d"),), pictures=DIVIDED)
    found = labelled_runs(program(batch=2), given)
    assert classes(found) == {"a red/0.png, a red/1.png": [0, 0], "b green/2.png, c blue/3.png": [1, 2]}


def test_every_input_that_cannot_be_measured_is_listed(tmp_path: Path) -> None:
    folder = flat(tmp_path / "d", 6)
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").write_bytes(png(0)[:40])
    (folder / "labels.csv").write_text("0.png,0\n1.png,0\n2.png,1\n3.png,3\n4.png,1\nlost.png,1\n")
    seen: list[tuple[int, int]] = []
    with pytest.raises(InputError) as caught:
        read(folder, advance=lambda done, total: seen.append((done, total)))
    text = str(caught.value)
    assert caught.value.title == "5 of the inputs cannot be measured" and seen[-1] == (6, 6)
    for name, why in (("lost.png", "no picture of this name"), ("5.png", "no label"), ("3.png", "from 0 to 2, got 3")):
        assert any(f"{name}'" in line and why in line for line in text.splitlines()), name
    assert "1.png: expected a readable picture" in text and "2.png: expected a readable picture" in text


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=pictures([0, 1, 2]), y=[0, 3, -1])
    with pytest.raises(InputError, match="2 of the inputs"):
        read(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", x=pictures([0, 1]), labels=[0, 1])
    assert classes(read(tmp_path / "e.npz")) == {"e.npz[0]": [0], "e.npz[1]": [1]}
    assert classes(read(tmp_path / "e.npz", class_offset=1)) == {"e.npz[0]": [1], "e.npz[1]": [2]}
    with pytest.raises(InputError, match="labels that nothing has"):
        read(tmp_path / "e.npz", labels="labels.csv")
    with pytest.raises(InputError, match="labels that nothing has"):
        read(flat(tmp_path / "f"), class_names=["a", "b", "c"])
    few = class_folders(tmp_path / "g")
    (few / "c blue" / "3.png").unlink()
    (few / "c blue").rmdir()
    with pytest.raises(InputError, match="expected 3, as the model's scores have, got 2"):
        read(few)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        read(tmp_path / "empty")


def test_a_background_of_imagenet(tmp_path: Path) -> None:
    wide = qdqnp.load(network(np.zeros((1001, 3), np.float32), quantized=False)).program()
    np.savez(tmp_path / "d.npz", x=pictures([0, 1]), y=[0, 999])
    notes: list[str] = []
    found = labelled_runs(wide, Inputs((tmp_path / "d.npz",), pictures=DIVIDED, note=notes.append))
    assert found.labels is not None and np.concatenate(found.labels).tolist() == [1, 1000]
    assert any("background" in note for note in notes)
    np.savez(tmp_path / "d.npz", x=pictures([0, 1]), y=[0, 5])
    with pytest.raises(InputError, match="--class-offset"):
        labelled_runs(wide, Inputs((tmp_path / "d.npz",), pictures=DIVIDED))


def test_quality_counts_them(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "d")
    found = qdqnp.quality(network(quantized=False), network(), folder, preprocess=DIVIDED)
    assert (found.report.float_correct, found.report.outputs.labelled) == (4, 4)
    (tmp_path / "l.csv").write_text("a red/0.png,0\na red/1.png,1\nb green/2.png,1\nc blue/3.png,2\n")
    other = qdqnp.quality(network(quantized=False), network(), folder, preprocess=DIVIDED, labels=tmp_path / "l.csv")
    assert other.report.float_correct == 3
    x = np.zeros((1, 3, 4, 4), np.float32)
    with pytest.raises(InputError, match=r"labels of input 1: expected classes from 0 to 2, got \[3\]"):
        qdqnp.quality(network(quantized=False), network(), [x, x], labels=[2, 3])
