"""What is read: tracked runs as one tidy frame."""
