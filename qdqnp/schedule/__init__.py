"""The compiled schedule: the same steps for known shapes, with images as float32, channels last, in one arena.

A step has two forms. Its definition, and the fast form on codes in `executor`, know nothing of this room. The compiled
form (`form.py`) reads and writes images: codes less their zero point, as float32, channels last, so that padding is 0
and a product needs no correction. Both give the same codes. A step without a compiled form, or without a proof of it,
runs as it does elsewhere, on codes.
"""
