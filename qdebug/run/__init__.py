"""The stored result of one comparison: its data model, storage and schema."""
