"""The main table: what each variant reached, and how sure that is."""
