"""Calendar time: what is due again and again."""
