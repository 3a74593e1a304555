"""Other people's programs, and other processes, behind small seams."""
