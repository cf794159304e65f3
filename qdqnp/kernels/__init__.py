"""Fast computations on plain arrays, each admitted by a proof. Kernels do not know graphs, profiles or scales."""
