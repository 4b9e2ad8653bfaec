"""The shapes and names of countries that the report's map is drawn from, and how they are read."""
