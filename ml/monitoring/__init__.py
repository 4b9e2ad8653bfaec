"""Whether a model that rules still deserves to: drift of its scores, and its grades later."""
