"""What the numbers of all layers say together."""
