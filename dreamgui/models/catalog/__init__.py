"""The catalog: bases and runs, with the cards that describe them."""
