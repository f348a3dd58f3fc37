"""The database: engine, tables, and a file of queries for each noun."""
