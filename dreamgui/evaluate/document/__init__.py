"""Documents of blocks: as Markdown, as one HTML page, with charts, contact sheets and their fonts."""
