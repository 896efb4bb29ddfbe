"""How it is drawn: themes, layouts, panels, colours."""
