"""What it means: tracked runs to statistics, tables, figures and pages."""
