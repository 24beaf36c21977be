"""The parts of a tuning: what it begins with, what it works on, the search, what it writes."""
