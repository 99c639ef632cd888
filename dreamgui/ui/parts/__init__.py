"""Parts that all tabs are made of: forms, progress, grids, markup."""
