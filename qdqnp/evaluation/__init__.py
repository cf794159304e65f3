"""Evaluate models on labelled inputs: accuracy, and how far arithmetics agree, in several columns at once."""
