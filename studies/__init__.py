"""The question: study files, levels, designs, run specs and the names of everything recorded."""
