"""The formats that come with qdqnp. Importing this package registers them; to add one, add a file and its name here."""

from qdqnp.golden_sets.writers import c, c_crc, hex, ihex, npz, polygraphy, raw

__all__ = ["c", "c_crc", "hex", "ihex", "npz", "polygraphy", "raw"]
