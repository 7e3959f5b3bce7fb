"""The pages: one module each with a `page()`; all read one selection."""
