"""What two arithmetics can differ by at most, for every input there is: `qdqnp diff --prove`."""
