"""The declared hypotheses and their verdicts."""
