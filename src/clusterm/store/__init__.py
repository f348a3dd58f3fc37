"""Everything that clusterm keeps: engine, tables, and a file of queries for each noun."""
