"""The report of an evaluation: a page, and its numbers as JSON, CSV and PNG."""
