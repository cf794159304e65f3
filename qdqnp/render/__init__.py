"""Show results: in the terminal, as HTML, as JUnit XML."""
