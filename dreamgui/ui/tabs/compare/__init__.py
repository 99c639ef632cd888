"""Compare tab."""
