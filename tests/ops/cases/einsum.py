"""Einsum."""

from __future__ import annotations

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.functions import reals

#: What exporters write: products of matrices and stacks, attention, sums, traces, outer products.
EQUATIONS = (
    *("ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "bhij,bhjd->bhid", "...ij,...jk->...ik", "nchw,cd->ndhw"),
    *("ij->ji", "ij->i", "ij->", "ii->i", "i,j->ij", "ij,jk,kl->il", "bn,anm,bm->ba", "ij,jk"),
)


def einsum(rng: draw.Rng) -> Case:
    """One equation of those, or any; axes of one element broadcast."""
    sizes = {label: draw.pick(rng, (1, 2, 3, 5, 7)) for label in "abcdehijklmnw"}
    if draw.chance(rng, 0.3):
        sizes |= {label: draw.pick(rng, (17, 40)) for label in draw.pick(rng, ("jm", "k", "d"))}
    equation = draw.pick(rng, EQUATIONS) if draw.chance(rng, 0.5) else _any_equation(rng)
    more = [draw.size(rng, 3) for _ in range(draw.size(rng, 2))]
    arguments = []
    for number, term in enumerate(equation.split("->")[0].split(",")):
        dims: list[int] = []
        for label in term.replace("...", "."):
            narrow = draw.chance(rng, 0.05) and term.count(label) == 1
            dims += (
                [size if draw.chance(rng, 0.8) else 1 for size in more]
                if label == "."
                else [1 if narrow else sizes[label]]
            )
        arguments.append((f"x{number}", reals(rng, tuple(dims), 0.1)))
    return one_node("Einsum", arguments, [name for name, _ in arguments], equation=equation)


def _any_equation(rng: draw.Rng) -> str:
    ellipsis, terms = draw.chance(rng, 0.2), []
    for _ in range(draw.pick(rng, (1, 2, 2, 3))):
        labels = [str(label) for label in rng.choice([*"ijkm"], draw.size(rng, 3), replace=draw.chance(rng, 0.1))]
        if ellipsis:
            labels.insert(int(rng.integers(len(labels) + 1)), "...")
        terms.append("".join(labels))
    kept = [label for label in "ijkm" if label in "".join(terms) and draw.chance(rng, 0.5)]
    order = ["..."] * ellipsis + [str(label) for label in rng.permutation(kept)]
    return ",".join(terms) + "->" + "".join(order)
