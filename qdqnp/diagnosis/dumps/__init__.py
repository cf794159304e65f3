"""What a device sends back, in whatever form: files and arrays that are read piece by piece, and how they are read."""
