"""Networks, data and training: what a detector is and how it learns. Importing it loads no torch."""
