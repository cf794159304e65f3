"""Where the inputs of a run come from: array files, pictures, random numbers, what is shipped."""
