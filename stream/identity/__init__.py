"""Identity: is this the person who was enrolled, and does the face stay one person's?"""
