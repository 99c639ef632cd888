"""Memory tiers: estimates of the need, and the settings that save memory."""
