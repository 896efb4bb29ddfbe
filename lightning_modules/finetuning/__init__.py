"""Fine-tuning a trained model on a task: its rows, its inputs, its head, its score."""
