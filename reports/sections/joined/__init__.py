"""The sections of the report of several studies."""
