"""The relay: takes live video in by WHIP, watches it, and gives picture, sound, scores and alerts out."""
