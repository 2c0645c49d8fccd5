"""Checking a file on the page and by REST: uploads, a queue of checks, their results, the API's document."""
