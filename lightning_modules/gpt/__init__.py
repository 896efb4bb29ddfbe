"""GPT from parts: one registry per choice."""
