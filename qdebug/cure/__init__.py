"""From the diagnosis to a repaired model: what each cure would win at the network's outputs."""
