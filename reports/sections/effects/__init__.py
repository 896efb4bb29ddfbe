"""Main effects and interactions of the factors."""
