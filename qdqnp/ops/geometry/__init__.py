"""Which elements an output element looks at: windows, taps, matrix shapes."""
