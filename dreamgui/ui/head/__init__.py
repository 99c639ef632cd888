"""Head of the page: the status line and the queue of all jobs."""
