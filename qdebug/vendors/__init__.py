"""What is particular to each toolchain: its settings read, its fixes written."""
