"""Probes: small models whose outputs tell what is unknown of a device, and what each hypothesis answers."""
