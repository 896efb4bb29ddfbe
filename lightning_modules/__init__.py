"""The thing measured: models, data, diagnostics and the training of one run."""
