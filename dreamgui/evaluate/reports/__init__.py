"""Reports: documents with tables, charts and pictures, as Markdown and as one page."""
