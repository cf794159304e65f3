"""Operators in float32."""
