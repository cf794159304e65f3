"""Probes: small models whose outputs tell what is unknown of a device, and the answer that each hypothesis gives."""
