"""How a model is measured and how it earns its place: results, metrics, gate, leak checks."""
