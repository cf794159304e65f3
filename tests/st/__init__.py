"""Tests of qdqnp/st, on folders that writing.py makes: none of ST's files is here."""
