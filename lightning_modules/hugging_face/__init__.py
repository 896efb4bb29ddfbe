"""Models in the layout of the `transformers` library."""
