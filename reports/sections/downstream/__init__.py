"""What the fine-tuned models score, and whether the loss foretells it."""
