"""The live system, one stair down from a source to an alert; `stream/analysis.py` is the stair itself."""
