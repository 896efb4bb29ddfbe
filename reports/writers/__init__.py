"""How it is written: LaTeX, page and other files."""
