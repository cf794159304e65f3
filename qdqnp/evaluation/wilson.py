"""The interval in which a share lies of which a sample is known.

E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
Statistical Association 22 (158), 1927, pages 209 to 212: all shares p from which the observed one is at most z standard
deviations of the binomial distribution away, |k/n - p| <= z sqrt(p (1 - p) / n).
"""

from __future__ import annotations

import math

#: What a standard normal variable stays within, either way, with a probability of 95 %.
Z_95 = 1.959963984540054


def interval(count: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share, each from 0 to 1.

        count: how many of the sample are as asked, 0 to `of`.
        of: the size of the sample; of none, nothing is known.
        z: the quantile of the standard normal distribution, 1.96 for 95 %.

    >>> [round(end, 4) for end in interval(9, 10)]
    [0.5958, 0.9821]
    """
    if not of:
        return 0.0, 1.0
    middle, wide = count + z * z / 2, z * math.sqrt(count * (of - count) / of + z * z / 4)
    low, high = ((middle + sign * wide) / (of + z * z) for sign in (-1, 1))
    return (0.0 if not count else low), (1.0 if count == of else high)  # which rounding would miss
