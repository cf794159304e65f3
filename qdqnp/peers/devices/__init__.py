"""Devices that answer with dumps: any callable, ST's ai_runner, a serial port, a C library."""
