"""Identify which arithmetic a device uses: each layer, fed the device's own inputs, under every profile, and its
parameters."""
