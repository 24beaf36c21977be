"""What runs inside the environment of a vendor's program; it needs nothing of this project."""
