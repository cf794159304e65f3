"""Fast forms of integer operators, one file for each kind of question. A fast form is used only where it is proven.

Here, and nowhere below, is known in what layout and precision arrays are computed, and in what memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdqnp.executor.fast.float_sums import FloatConvolution
from qdqnp.executor.fast.kernel import Definition, Kernel
from qdqnp.executor.fast.scales import scaled_kernel
from qdqnp.executor.fast.sums import FastSums
from qdqnp.executor.fast.tables import FastPairs, FastSingles
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions import Pairs, Question, Singles, Sums
from qdqnp.ops.float.conv import Conv
from qdqnp.ops.integer.asking import IntegerOperator, has_wide_codes
from qdqnp.ops.operator import Binding, Operator

#: The fast form of each kind of question; the definition serves the others, and operators that ask none.
FAST: Mapping[type[Question], Any] = {
    Sums: FastSums,
    Pairs: FastPairs,
    Singles: FastSingles,
}


def kernel_for(operator: Operator, binding: Binding, strategy: str, certified: bool = True) -> Kernel:
    """Return the fastest form that is proven for the step.

        strategy: how integer sums are computed.
        certified: whether a cheap form of a rule is looked for.

    Raises ProfileError where the profile does not define the step, ProofError for a strategy that is not exact for the
    step.
    """
    operator.check_profile(binding)
    operator.check_scales(binding)
    wide = has_wide_codes(binding.step)  # there is no table of them
    if isinstance(operator, IntegerOperator) and not (wide and not issubclass(operator.asks, Sums)):
        accumulate = of_layer(binding.profile.accumulate, binding.step.label)
        if issubclass(operator.asks, Sums) and accumulate.needs_products:
            return Definition(operator, binding)  # a fast product adds up in an order of its own
        for asked, fast in FAST.items():
            if issubclass(operator.asks, asked):
                made: Kernel = fast(operator, binding, strategy, certified)
                return made
    if type(operator) is Conv:
        return FloatConvolution(operator, binding)
    return scaled_kernel(operator, binding) or Definition(operator, binding)
