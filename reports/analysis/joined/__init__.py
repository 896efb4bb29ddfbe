"""The numbers of the report of several studies."""
