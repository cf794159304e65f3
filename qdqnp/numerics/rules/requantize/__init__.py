"""Sums become codes: convolution and matrix products. Each file is one way in which devices requantize.

The sum is exact and holds no bias; adding the bias is part of the rule, because devices differ in when they add it.
"""
