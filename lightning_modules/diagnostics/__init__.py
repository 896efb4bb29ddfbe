"""What is measured inside the model while it trains."""
