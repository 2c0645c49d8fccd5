"""Where the benchmark looks for `stream.memory`, which belongs to more than the relay."""

from stream.memory import few_heaps as few_heaps
