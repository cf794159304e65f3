"""`python -m qdqnp`."""

from qdqnp.cli import main

main()
