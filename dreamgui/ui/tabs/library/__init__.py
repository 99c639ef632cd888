"""Library tab: everything that was made, to look at, rename, take away, resume and delete."""
