"""What to offer whom next: trained, examined on a later period, ranked with reasons."""
