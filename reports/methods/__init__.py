"""The paragraphs on methods: what was done, in the words of a paper."""
