"""The only place with SQL: one module a noun. Every function takes a Connection, returns finished values, and never commits."""
