"""Sums to codes: convolution and matrix products. Each file is one way in which devices do it.

The sum is exact and has no bias in it; adding the bias is part of the rule, because devices differ in when they do it.
"""
