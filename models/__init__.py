"""Networks, data and training: what a detector is and how it learns. Importing this package loads no torch."""
