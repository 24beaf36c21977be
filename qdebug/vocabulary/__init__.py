"""How numbers, states and names are written: the same in findings, reports and the browser."""
