"""Train a Deep Layer Aggregation network, from pictures to a checkpoint that build_dla reads.

    python -m tools.models.train dla46_c cifar10_train.npz run --test cifar10_test.npz --size 32 32 --epochs 200
    python -m tools.models.train dla60x_c imagenet/train run --test imagenet/val --batch 256 --device cuda --workers 8

RUN is a folder: `training.pth` has what a run needs to go on (it does, where it is there), `weights.npz` the weights by
timm's names. Needs torch: pip install "qdqnp[train]".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp.errors import InputError, Problem, Problems, QdqnpError
from tools.models.checkpoints import read_checkpoint
from tools.models.dla import ARCHITECTURES
from tools.models.dla_onnx import check_size
from tools.models.files import write_npz
from tools.models.training_data import LabelledPictures, labelled_pictures

STATE, WEIGHTS = "training.pth", "weights.npz"
WARM_UP = 0.02  # of all steps
MOMENTUM = 0.9


@dataclass(frozen=True)
class TrainingSettings:
    """What a training depends on: a run that goes on must have the same."""

    network: str
    classes: int
    pictures: int
    size: tuple[int, int]
    #: Steps in all.
    steps: int
    batch: int
    #: The highest learning rate.
    rate: float
    decay: float
    smoothing: float
    seed: int


def rate_at(settings: TrainingSettings, step: int) -> float:
    """Return the learning rate: up in a straight line, then down along half a cosine to 0."""
    warm = max(1, round(WARM_UP * settings.steps))
    if step < warm:
        return settings.rate * (step + 1) / warm
    return settings.rate * 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, settings.steps - warm))))


def batch_at(settings: TrainingSettings, step: int) -> list[int]:
    """Return the indices of a step's pictures: each epoch is a permutation, without an incomplete batch."""
    per_epoch = max(1, settings.pictures // settings.batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([settings.seed, epoch]).permutation(settings.pictures)
    chosen: list[int] = order[place * settings.batch : (place + 1) * settings.batch].tolist()
    return chosen


class TrainingPictures:
    """What torch's DataLoader asks: a picture and its class, for (step, index)."""

    def __init__(self, data: LabelledPictures, seed: int) -> None:
        self.data, self.seed = data, seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Any, int]:
        step, index = key
        rng = np.random.default_rng([self.seed, step, index])
        return self.data.training(index, rng), int(self.data.classes[index])


class Training:
    """A network in training: `run` takes steps, `save` writes both files."""

    def __init__(self, settings: TrainingSettings, folder: Path, device: str) -> None:
        torch = import_torch()
        from tools.models.dla_torch import DlaNetwork

        self.settings, self.folder, self.device, self.step = settings, folder, device, 0
        torch.manual_seed(settings.seed)
        self.network = DlaNetwork(ARCHITECTURES[settings.network], settings.classes).to(device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), settings.rate, MOMENTUM, weight_decay=settings.decay, nesterov=True
        )
        if (folder / STATE).exists():
            self._go_on()

    def run(self, data: LabelledPictures, workers: int, until: int) -> Iterator[float]:
        """Take steps until there were `until`, and yield the loss of each."""
        torch = import_torch()
        steps = range(self.step, min(until, self.settings.steps))
        keys = [[(step, index) for index in batch_at(self.settings, step)] for step in steps]
        loader = torch.utils.data.DataLoader(
            TrainingPictures(data, self.settings.seed), batch_sampler=keys, num_workers=workers
        )
        self.network.train()
        for pictures, classes in loader:
            for group in self.optimizer.param_groups:
                group["lr"] = rate_at(self.settings, self.step)
            scores = self.network(pictures.to(self.device))
            loss = torch.nn.functional.cross_entropy(
                scores, classes.to(self.device), label_smoothing=self.settings.smoothing
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.step += 1
            if not bool(torch.isfinite(loss)):
                problem = Problem(f"loss of step {self.step}", "a number", str(loss.item()), "Choose a lower --rate.")
                raise QdqnpError("the training diverged", [problem])
            yield loss.item()

    def right(self, data: LabelledPictures) -> int:
        """Count the pictures whose best score is that of their class."""
        torch = import_torch()
        self.network.eval()
        found = 0
        with torch.no_grad():
            for start in range(0, len(data), self.settings.batch):
                indices = range(start, min(start + self.settings.batch, len(data)))
                pictures = torch.from_numpy(np.stack([data.testing(index) for index in indices])).to(self.device)
                best = self.network(pictures).argmax(1).cpu().numpy()
                found += int((best == data.classes[list(indices)]).sum())
        return found

    def save(self) -> None:
        """Write what a run needs to go on, and the weights; each file appears whole."""
        torch = import_torch()
        state = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        saved = {
            "state_dict": state,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "settings": asdict(self.settings),
        }
        part = self.folder / f"{STATE}.part"
        torch.save(saved, part)
        part.replace(self.folder / STATE)
        arrays = {name: t.numpy() for name, t in state.items() if not name.endswith(".num_batches_tracked")}
        write_npz(self.folder / WEIGHTS, arrays)

    def _go_on(self) -> None:
        torch = import_torch()
        path = self.folder / STATE
        read_checkpoint(path)  # which says what is wrong with a file that is none
        saved = torch.load(path, map_location=self.device, weights_only=True)
        _check_settings(saved.get("settings"), asdict(self.settings), path)
        self.network.load_state_dict(saved["state_dict"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = int(saved["step"])


def import_torch() -> Any:
    """Return torch. Raises InputError that says what to install."""
    try:
        import torch
    except ImportError as error:
        problem = Problem("torch", "to be installed", "no such module", 'Run: pip install "qdqnp[train]"')
        raise InputError("training needs PyTorch", [problem]) from error
    return torch


def _check_settings(saved: object, now: Mapping[str, object], path: Path) -> None:
    problems = Problems()
    before: Mapping[str, object] = saved if isinstance(saved, dict) else {}
    for name, value in now.items():
        was = before.get(name)
        if (tuple(was) if isinstance(was, list) else was) != value:
            problems.add(name, f"{was}, as {path} was begun with", value, "Give the same, or another folder.")
    problems.raise_if_any("the training in this folder is another one", InputError)


@click.command()
@click.argument("network", type=click.Choice(sorted(ARCHITECTURES)))
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--test", type=click.Path(exists=True, path_type=Path), help="Pictures for the top-1 at the end.")
@click.option("--size", type=int, nargs=2, default=(224, 224), show_default=True, help="Input height and width.")
@click.option("--classes", type=click.IntRange(1), help="[default: those of PICTURES]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), default=100.0, show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Instead of --epochs.")
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True, help="Learning rate.")
@click.option("--decay", type=click.FloatRange(0), default=5e-4, show_default=True, help="Weight decay.")
@click.option("--smoothing", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Label smoothing.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--save-every", type=click.IntRange(1), default=500, show_default=True, help="Steps between saves.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that read pictures.")
@click.option("--threads", type=click.IntRange(1), help="Threads of torch.  [default: torch's own]")
def main(
    network: str,
    pictures: Path,
    run: Path,
    test: Path | None,
    size: tuple[int, int],
    classes: int | None,
    epochs: float,
    steps: int | None,
    batch: int,
    rate: float,
    decay: float,
    smoothing: float,
    seed: int,
    save_every: int,
    device: str,
    workers: int,
    threads: int | None,
) -> None:
    """Train NETWORK on PICTURES, and write the checkpoint into the folder RUN."""
    try:
        torch = import_torch()
        if threads is not None:
            torch.set_num_threads(threads)
        check_size(size)
        data = labelled_pictures(pictures, size)
        tested = None if test is None else labelled_pictures(test, size)
        count = classes or len(data.names)
        check_classes(data, count)
        _check_batch(data, batch)
        total = steps or max(1, round(epochs * (len(data) // batch)))
        settings = TrainingSettings(network, count, len(data), size, total, batch, rate, decay, smoothing, seed)
        run.mkdir(parents=True, exist_ok=True)
        training = Training(settings, run, device)
        _train(training, data, workers, save_every, click.echo)
        if tested is not None:
            right = training.right(tested)
            click.echo(f"top-1: {right} of {len(tested)} ({100 * right / len(tested):.2f} %)")
        click.echo(f"{run / WEIGHTS}: {network}, {count} classes, {training.step} steps")
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


def _train(training: Training, data: LabelledPictures, workers: int, every: int, say: Callable[[str], object]) -> None:
    """Take all steps, and save after each `every` of them, at the end, and at Ctrl-C."""
    losses: list[float] = []
    try:
        while training.step < training.settings.steps:
            for loss in training.run(data, workers, training.step + every - training.step % every):
                losses.append(loss)
            say(f"step {training.step} of {training.settings.steps}: loss {np.mean(losses[-every:]):.4f}")
            training.save()
    except KeyboardInterrupt:
        training.save()
        say(f"interrupted after step {training.step}; the same command goes on")
        raise
    if not losses:
        say(f"nothing left to do: {training.step} steps are taken")


def check_classes(data: LabelledPictures, classes: int) -> None:
    """Raise InputError where a picture's class is none of the network's."""
    highest = int(data.classes.max(initial=0))
    if highest >= classes:
        problem = Problem("classes of the pictures", f"0 to {classes - 1}", f"up to {highest}", "Choose --classes.")
        raise InputError("the pictures do not fit the network", [problem])


def _check_batch(data: LabelledPictures, batch: int) -> None:
    if len(data) < batch:
        problem = Problem("--batch", f"at most {len(data)}, the pictures there are", str(batch))
        raise InputError("there are too few pictures for a batch", [problem])


if __name__ == "__main__":
    main()
