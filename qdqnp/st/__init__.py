"""What ST's compiler for the Neural-ART NPU leaves behind, read with distrust: `read` makes a CompiledNetwork of it."""
