"""Reports of before: their pictures used again, and two of them side by side."""
