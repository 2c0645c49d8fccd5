"""Checking files: pictures and videos in, one report each out; decoding happens in a process apart."""
