"""Which arithmetic a device uses: each layer on the device's own inputs, under every profile, and its parameters."""
