"""Rules: how one operator family gets from exact integers to codes. One file per family.

A rule is a frozen dataclass without state. `bind` fixes scales and zero points and gives a function on codes or sums;
that function is the definition of the arithmetic. Speed is elsewhere.
"""
