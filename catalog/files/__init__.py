"""Product files as merchants have them: read and written, without touching a row."""
