"""What the numbers say: summaries, intervals, tests and verdicts."""
