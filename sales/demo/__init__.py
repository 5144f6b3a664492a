"""The demo shop: its products, their pictures, and what has happened so far."""
