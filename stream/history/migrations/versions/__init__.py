"""One file a step, v1, v2 …; a step that was published is never altered."""
