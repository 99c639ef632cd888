"""Generate tab: pictures of a model, those that were kept, and their settings."""
