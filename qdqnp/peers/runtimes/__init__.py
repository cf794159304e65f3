"""Runtimes that are scored on cases: a file each, imported where it runs, and a process of its own for each."""
