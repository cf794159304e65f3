"""What is proven of one layer, and how far differences of its inputs carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.diagnosis.proof import columns, tables
from qdqnp.diagnosis.proof.claim import Claim, NotProvenError, not_proven
from qdqnp.diagnosis.proof.columns import Column
from qdqnp.diagnosis.proof.pair import StepPair
from qdqnp.diagnosis.proof.tables import Table
from qdqnp.errors import ProfileError
from qdqnp.lazy import lazy
from qdqnp.numerics.questions import Means, Pairs, Singles, Sums, Windows
from qdqnp.quant import EIGHT_BIT

SUMMED, TABLED = (Sums, Means, Windows), (Pairs, Singles)


@dataclass(frozen=True, eq=False)
class Material:
    """What a proof rests on, one of the two; both are empty where neither is known."""

    columns: Sequence[Column] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, eq=False)
class LayerProof:
    """The proof of one layer under two profiles."""

    pair: StepPair
    claim: Claim
    #: None where the claim needed none; it is made when differences of the inputs are carried on.
    known: Material | None = None

    @lazy
    def material(self) -> Material:
        if self.known is not None:
            return self.known
        try:
            return _material(self.pair)
        except (NotProvenError, ProfileError):
            return Material()

    def spread(self, deltas: Mapping[str, int | None]) -> int | None:
        """Bound the difference of the output's codes; None where the output holds no codes and may differ.

        deltas: for each input tensor how far its codes may be apart, None where nothing is known.
        """
        read = {operand.name: deltas[operand.name] for operand in self.pair.reads()}
        if self.claim.largest is not None and not any(delta is None or delta for delta in read.values()):
            return self.claim.largest
        span = self.pair.span
        if span is None or any(delta is None for delta in read.values()):
            return span
        found = self._carried({name: delta or 0 for name, delta in read.items()})
        return span if found is None else min(found, span)

    def _carried(self, deltas: Mapping[str, int]) -> int | None:
        """Bound the difference of the output's codes for inputs that are apart; None where that is not known."""
        first = self.pair.first
        if self.claim.largest == 0 and first.operator.only_moves(first.step):
            codes = all(first.tensors[name].dtype in EIGHT_BIT for name, delta in deltas.items() if delta)
            return max(deltas.values(), default=0) if codes else None  # an index that differs chooses something else
        columns, tables = self.material.columns, self.material.tables
        if columns:
            apart = deltas[columns[0].layer.input.name]
            return max(column.spread(column.gain * apart) for column in columns)
        if tables:
            inputs = first.step.inputs
            names = [[operand.name for i in table.operands if (operand := inputs[i])] for table in tables]
            return max(
                table.spread([deltas.get(name, 0) for name in those])
                for table, those in zip(tables, names, strict=True)
            )
        return None


def prove_layer(pair: StepPair) -> LayerProof:
    """Return what is proven of a layer; where nothing is, its claim says why."""
    try:
        return _proved(pair)
    except NotProvenError as error:
        return LayerProof(pair, not_proven(error))
    except ProfileError as error:
        return LayerProof(
            pair, not_proven(f"a sum that inputs can make is outside a rule's domain: {error.problems[0]}")
        )


def _proved(pair: StepPair) -> LayerProof:
    pair.check_alike()
    if _same_rules(pair):
        doubt = pair.first.step.doubt or pair.first.operator.doubt(pair.first.binding)
        if doubt:
            raise NotProvenError(doubt)
        return LayerProof(pair, Claim(largest=0))
    made = _material(pair)
    claim = columns.claim_of(pair, made.columns) if made.columns else tables.claim_of(pair, made.tables)
    return LayerProof(pair, claim, made)


def _material(pair: StepPair) -> Material:
    """Return the codes under both profiles of all that the layer can meet. Raises NotProvenError, or ProfileError."""
    parts = pair.parts()
    kind = type(parts[0][0].question)
    if issubclass(kind, SUMMED):
        return Material(columns=columns.columns_of(pair, parts))
    if issubclass(kind, TABLED):
        return Material(tables=tables.tables_of(pair, parts))
    raise NotProvenError(f"a {pair.first.step.op} makes each code of a whole row, of which there are too many")


def _same_rules(pair: StepPair) -> bool:
    """Tell whether both profiles have the same rules for all that the operator looks at."""
    operator = pair.first.operator
    names = (*([operator.rule] if operator.rule else []), *operator.reads)
    return all(getattr(pair.first.profile, name) == getattr(pair.second.profile, name) for name in names)
