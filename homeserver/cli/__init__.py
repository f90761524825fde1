"""The command line: `hearth serve` and what an operator does besides."""
