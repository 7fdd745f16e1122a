"""Files as people publish them, and the use case that is right for each, written down before anything is proposed."""
