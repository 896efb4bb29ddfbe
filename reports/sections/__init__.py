"""Report sections: each collects its data, then renders it."""
