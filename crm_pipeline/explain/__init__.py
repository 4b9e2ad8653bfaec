"""From a published figure to the facts behind it, and from a fact to file and line."""
