"""A reader of format 1, written from format-spec/ alone and sharing no code with the program."""
