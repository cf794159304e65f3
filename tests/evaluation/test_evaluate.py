"""Evaluations of networks whose answers are known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.evaluation.counts import Counts
from qdqnp.evaluation.evaluate import BATCHES_A_SHARD, data_of, evaluate
from qdqnp.evaluation.result import Evaluation
from qdqnp.evaluation.thumbnails import thumbnails
from qdqnp.inputs.pictures import Preprocessing
from tests.evaluation.kit import COLOURS, class_folders, network, picture, pictures, png

DIVIDED = Preprocessing(divisor=8)
#: Takes green for red, and red for green.
SWAPPED = COLOURS[[1, 0, 2]]
SEEN, LABELS = [0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 0, 1, 1, 2]


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Seven pictures, of which the last two have the label of another colour."""
    np.savez(tmp_path / "d.npz", x=pictures(SEEN), y=LABELS, classes=["red", "green", "blue"])
    return tmp_path / "d.npz"


def run(models: Any, data: Any, **options: Any) -> Evaluation:
    return evaluate(models, data, **{"preprocessing": DIVIDED, **options})


def test_what_is_counted(npz: Path) -> None:
    found = run({"right": network(), "swapped": network(SWAPPED), "float": network(quantized=False)}, npz)
    right, swapped, real = found.columns
    assert (found.inputs, found.classes, found.class_names) == (7, 3, ("red", "green", "blue"))
    assert (right.top1, right.top5, right.same_class, right.same_bits, right.flips) == (5, None, 7, 7, ())
    # the mean of one channel over equal pixels: what the codes hold is the float's value or not
    assert (real.top1, real.same_class) == (5, 7) and real.arithmetic.startswith("onnxruntime")
    assert (swapped.top1, swapped.same_class, swapped.same_bits) == (1, 2, 2)
    assert [(one.index, one.label, one.first, one.here) for one in swapped.flips] == [
        *((0, 0, 0, 1), (1, 1, 1, 0), (3, 0, 0, 1), (4, 1, 1, 0), (6, 2, 0, 1))
    ]
    assert [one.name for one in swapped.flips] == [f"d.npz[{number}]" for number in (0, 1, 3, 4, 6)]
    assert right.confusion == ((0, 0, 2), (1, 1, 2), (1, 2, 1), (2, 0, 1), (2, 2, 1))
    assert sum(count for _, _, count in swapped.confusion) == 7
    assert right.interval(right.top1) == pytest.approx((0.3589, 0.9178), abs=1e-4)


def test_the_best_five_of_seven_classes() -> None:
    """Class k has weight k of a grey picture: a label is among the best five from class 2 on."""
    weights = np.repeat(np.arange(7, dtype=np.float32)[:, None] / 8, 3, axis=1)
    grey = np.full((4, 4, 3), 80, np.uint8)
    found = run(network(weights), [(grey, label) for label in range(7)])
    assert (found.columns[0].top1, found.columns[0].top5) == (1, 5)


def test_of_equal_scores_the_first_class_counts() -> None:
    found = run(network(np.ones((3, 3), np.float32) / 4), [(picture(0), 0), (picture(1), 1)])
    assert found.columns[0].top1 == 1 and found.columns[0].confusion == ((0, 0, 1), (1, 0, 1))


def test_scores_that_are_no_number_are_no_class() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    found = evaluate({"a": (network(quantized=False), "session")}, [(x, 0), (x * np.nan, 0)])
    assert found.columns[0].top1 == 1 and found.columns[0].confusion == ((0, 0, 1), (0, None, 1))
    assert found.class_name(None) == "not a number"


# -- the same bytes ----------------------------------------------------------------------------------------------------
def text(evaluation: Evaluation) -> str:
    return json.dumps(evaluation.as_json())


def test_workers_and_batches_do_not_change_the_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 3, 41)
    np.savez(tmp_path / "d.npz", x=rng.integers(0, 255, (41, 4, 4, 3), dtype=np.uint8), y=seen)
    models = {
        "one": network(),
        "open": network(SWAPPED, batch="N"),
        "four": network(batch=4),
        "s": (network(), "session"),
    }
    first = run(models, tmp_path / "d.npz", batch=4)
    assert first.columns[0].same_bits == first.columns[2].same_bits == first.columns[3].same_bits == 41
    for options in ({"workers": 2}, {"threads": 3}, {"results": tmp_path / "kept"}, {"results": tmp_path / "kept"}):
        again = run(models, tmp_path / "d.npz", batch=4, **options)
        assert text(again) == text(first) and again == first
    with ThreadPoolExecutor(2) as executor:
        assert text(run(models, tmp_path / "d.npz", batch=4, executor=executor)) == text(first)
    other = run(models, tmp_path / "d.npz", batch=7)
    assert [one.top1 for one in other.columns] == [one.top1 for one in first.columns]


def test_threads_have_pictures_or_share_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of one of several threads has one thread: threads of threads would wait for each other."""
    used: set[tuple[int, int]] = set()
    whole = qdqnp.Model.run

    def note(self: qdqnp.Model, inputs: Any, **options: Any) -> dict[str, Any]:
        used.add((len(next(iter(inputs.values()))), options["threads"]))
        return whole(self, inputs, **options)

    monkeypatch.setattr("qdqnp.model.Model.run", note)
    data = [(picture(number % 3, 100 + number), number % 3) for number in range(8)]
    run(network(), data, batch=4, threads=3)
    assert used == {(1, 1)}
    used.clear()
    run(network(batch="N"), data, batch=4, threads=3)
    assert used == {(4, 3)}


def test_what_is_finished_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [(picture(number % 3, 100 + number), number % 3) for number in range(8)]
    options = {"batch": 2, "results": tmp_path / "kept"}
    first = run(network(), data, **options)
    assert len(list((tmp_path / "kept").iterdir())) == 8 // (2 * BATCHES_A_SHARD)
    monkeypatch.setattr("qdqnp.model.Model.run", None)
    assert text(run(network(), data, **options)) == text(first)
    changed = [*data[:7], (picture(0, 99), 1)]  # one picture, and so one shard, is another
    with pytest.raises(TypeError):
        run(network(), changed, **options)
    with pytest.raises(TypeError):  # and so is every shard under another preprocessing
        run(network(), data, **options | {"preprocessing": Preprocessing(divisor=4)})


class FirstComesLast(ThreadPoolExecutor):
    """Has what it is given first wait for all else."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        first = not hasattr(self, "_others")
        if first:
            self._others: list[Future[Any]] = []
        made = super().submit(lambda: (first and time.sleep(0.5), fn(*args, **kwargs))[1])
        self._others.append(made)
        return made


def test_the_order_in_which_shards_end_does_not_change_the_result(tmp_path: Path) -> None:
    data = [(picture(number % 3, 100 + number), number % 3) for number in range(12)]
    data[1], data[9] = (b"", 0), (b"", 0)
    models = {"a": network(), "b": network(SWAPPED)}
    options = {"batch": 1, "skip_bad": True}
    with FirstComesLast(2) as executor:
        found = run(models, data, executor=executor, **options)
    assert [one.index for one in found.bad] == [1, 9] and len(found.columns[1].flips) > 4
    assert text(found) == text(run(models, data, **options))


def test_progress_says_what_is_counted_so_far(npz: Path) -> None:
    seen: list[tuple[int, int]] = []

    def notify(counts: Counts) -> None:
        seen.append((counts.inputs, counts.columns[0].top1))

    run(network(), npz, batch=1, notify=notify)
    assert seen == [(2, 2), (4, 4), (6, 5), (7, 5)]


# -- data --------------------------------------------------------------------------------------------------------------
def test_a_folder_an_array_file_and_pairs_give_the_same(tmp_path: Path) -> None:
    colours = [0, 0, 1, 2]
    folder = class_folders(tmp_path / "d", colours)
    levels = [picture(colour, 100 + index) for index, colour in enumerate(colours)]
    np.savez(tmp_path / "d.npz", x=levels, y=colours)
    made = [np.moveaxis(pixels, -1, 0).astype(np.float32) / 8 for pixels in levels]
    np.savez(tmp_path / "e.npz", x=made, y=colours)
    sources = [folder, tmp_path / "d.npz", zip(levels, colours, strict=True), zip(made, colours, strict=True)]
    sources += [[(png(colour, 100 + index), colour) for index, colour in enumerate(colours)]]
    found = [run({"a": network(), "b": network(SWAPPED)}, source) for source in sources]
    found.append(evaluate({"a": network(), "b": network(SWAPPED)}, tmp_path / "e.npz"))
    counted = [[(one.top1, one.same_bits, one.confusion) for one in each.columns] for each in found]
    assert counted == counted[:1] * 6 and counted[0][0][0] == 4


def test_models_with_other_layouts_are_fed_from_one_decoding(npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qdqnp.evaluation import job

    calls = []
    real = job.decoded
    monkeypatch.setattr(job, "decoded", lambda content: calls.append(1) or real(content))
    run({"a": network(), "b": network(SWAPPED), "c": (network(), "exact")}, npz, host_float=True)
    assert len(calls) == 7


def test_unscaled_pictures_are_noted(npz: Path) -> None:
    assert evaluate(network(), npz).notes == ("pictures are passed as 0 to 255, unscaled",)
    assert run(network(), npz).notes == ()


def test_open_sizes_take_pictures_of_any_size() -> None:
    data = [(picture(colour, 150, side), colour) for colour, side in ((0, 3), (1, 5), (2, 3))]
    found = run(network(batch="N", size="S"), data)
    assert found.columns[0].top1 == 3


# -- classes -----------------------------------------------------------------------------------------------------------
def thousand(classes: int) -> Any:
    weights = np.zeros((classes, 3), np.float32)
    weights[1:4] = COLOURS
    return network(weights)


def test_a_background_class_is_detected_and_said(tmp_path: Path) -> None:
    data = [(picture(1), 1)]
    names = [f"class {number}" for number in range(1000)]
    found = run(thousand(1001), data, class_names=names)
    assert found.class_offset == 1 and found.classes == 1000 and "background" in found.notes[0]
    assert found.columns[0].top1 == 1  # green is class 2 of the scores
    assert found.columns[0].confusion == ((1, 1, 1),)
    assert run(thousand(1001), data, class_offset=1).columns == found.columns
    assert run(thousand(1001), data, class_offset=0).columns[0].top1 == 0
    assert run(thousand(1000), [(picture(1), 2)]).class_offset == 0
    np.savez(tmp_path / "d.npz", x=pictures([0, 1]), y=[0, 999])
    assert run(thousand(1001), tmp_path / "d.npz").class_offset == 1
    np.savez(tmp_path / "d.npz", x=pictures([0, 1]), y=[1, 1000])
    assert run(thousand(1001), tmp_path / "d.npz").class_offset == 0


@pytest.mark.parametrize("labels", [[0, 5], [1, 999]])
def test_where_it_is_not_clear_it_is_asked(tmp_path: Path, labels: list[int]) -> None:
    np.savez(tmp_path / "d.npz", x=pictures([0, 1]), y=labels)
    for data in (tmp_path / "d.npz", [(picture(0), label) for label in labels]):
        with pytest.raises(InputError, match="--class-offset"):
            run(thousand(1001), data)


def test_classes_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    models = {"a": network(), "b": network(np.ones((4, 3), np.float32))}
    with pytest.raises(InputError, match=r"column 'b', output 'y': expected 3 classes, as column 'a', got 4"):
        run(models, [(picture(0), 0)])
    folder = class_folders(tmp_path)
    with pytest.raises(InputError, match=r"expected 3 classes, for 3 class names, got 4"):
        run(models["b"], folder)
    with pytest.raises(InputError, match="more classes than the offset"):
        run(models["a"], [(picture(0), 0)], class_offset=3)


@pytest.mark.parametrize("options", [{"batch": 0}, {"class_offset": -1}, {"threads": 0}, {"labels": "labels.csv"}])
def test_options_that_are_none(npz: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        run(network(), npz, **options)


def test_data_that_are_none() -> None:
    with pytest.raises(InputError, match=r"a folder, an \.npz file, or pairs"):
        run(network(), 7)
    with pytest.raises(InputError, match="nothing was evaluated"):
        run(network(), [])


def test_a_path_that_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(0))
    for name, got in (("nowhere", "nothing there"), ("one.png", "a picture")):
        with pytest.raises(InputError, match=rf"data .*{name}: expected a folder of pictures .*, got {got}"):
            run(network(), tmp_path / name)


# -- thumbnails --------------------------------------------------------------------------------------------------------
def test_thumbnails_are_of_what_flipped(tmp_path: Path) -> None:
    data = data_of(class_folders(tmp_path, [0, 1, 2]))
    found = run({"a": network(), "b": network(SWAPPED)}, data)
    made = thumbnails(found, data)
    assert list(made) == [0, 1] and all(one.startswith("data:image/png;base64,") for one in made.values())
    assert thumbnails(run({"a": network(), "b": network()}, data), data) == {}
