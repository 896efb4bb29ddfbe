"""The harness: plan on disk, pre-flight, ledger, tracking, workers, status and the command."""
