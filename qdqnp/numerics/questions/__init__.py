"""Questions: what an operator asks a rule. One file per kind; `question.Question` is what all of them can do."""

from qdqnp.numerics.questions.blends import Blends
from qdqnp.numerics.questions.means import Means
from qdqnp.numerics.questions.pairs import Pairs
from qdqnp.numerics.questions.question import Question, Summed
from qdqnp.numerics.questions.rows import Rows
from qdqnp.numerics.questions.singles import Singles
from qdqnp.numerics.questions.sums import Products, Sums, SumWeights
from qdqnp.numerics.questions.windows import Windows

__all__ = [
    "Blends",
    "Means",
    "Pairs",
    "Products",
    "Question",
    "Rows",
    "Singles",
    "SumWeights",
    "Summed",
    "Sums",
    "Windows",
]
