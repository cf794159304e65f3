"""Make every network of nets.py in every style of styles.py.

python -m tools.models.make_exporters FOLDER
python -m tools.models.make_exporters FOLDER --network neck --style qcdq
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import onnx

from tools.models.exporters.nets import NETWORKS
from tools.models.exporters.styles import OF_MATMUL, STYLES
from tools.models.files import write_model


def made(
    networks: tuple[str, ...] = (), styles: tuple[str, ...] = (), seed: int = 0
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield models with their names; no names mean all of them. A style of MatMul's weights needs a MatMul."""
    for network in networks or tuple(NETWORKS):
        model = NETWORKS[network](seed)
        products = any(node.op_type == "MatMul" for node in model.graph.node)
        for style in styles or tuple(STYLES):
            if style in OF_MATMUL and not products:
                continue
            yield f"{network}_{style}", STYLES[style](model)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--network", "networks", multiple=True, type=click.Choice(sorted(NETWORKS)), help="[default: all]")
@click.option("--style", "styles", multiple=True, type=click.Choice(sorted(STYLES)), help="[default: all]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(folder: Path, networks: tuple[str, ...], styles: tuple[str, ...], seed: int) -> None:
    """Write the models into FOLDER."""
    for name, model in made(networks, styles, seed):
        write_model(folder / f"{name}.onnx", model)
        click.echo(name)


if __name__ == "__main__":
    main()
