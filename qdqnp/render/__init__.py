"""How results are shown: the terminal, HTML, JUnit."""
