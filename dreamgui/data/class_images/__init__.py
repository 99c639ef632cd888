"""Class images: what a set of them consists of, and the user's own."""
