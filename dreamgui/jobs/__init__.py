"""Jobs: one recipe's run with a log on disk, and the queue that runs them."""
