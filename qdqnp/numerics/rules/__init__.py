"""Rules: how one operator family gets from exact integers to codes. One file per family.

A rule is a frozen dataclass without state, whose free choices are declared at its fields. `bind` fixes scales and zero
points and gives a bound rule; the stages of the bound rule define the arithmetic. Kernels, which are fast, are
elsewhere.
"""
