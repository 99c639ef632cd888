"""Results of jobs in the page: the curve of losses, the grid of pictures."""
