"""Views of responses as tables and text, one module per noun."""
