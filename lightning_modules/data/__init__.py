"""Text to batches: corpora, tokenisers, token arrays on disk, batches by seed and step."""
