"""Inputs worth testing with: for one layer by construction, for a whole network by search; each with what it covers."""
