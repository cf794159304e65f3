"""Rules: how one operator family gets from exact integers to codes. One file per family.

A rule is a frozen dataclass without state, whose free choices are declared at its fields. `bind` fixes scales and zero
points and gives a bound rule; its `stages` are the definition of the arithmetic. Speed is elsewhere.
"""
