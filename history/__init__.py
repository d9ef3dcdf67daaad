"""The defect history: PostgreSQL rows, pictures in an object store, and the queries over them."""
