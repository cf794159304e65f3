"""Fast computations on plain arrays, each admitted by a proof. Kernels know neither graph nor profile nor scale."""
