"""Where a queue can live: SQLite, a database server, a journal file, Optuna's gRPC proxy."""
