"""Evidence for each alert: the clip around it, crops, scores, settings, signed and chained; and its check."""
