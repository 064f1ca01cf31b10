"""Steps between the login and the interpreter, as values."""
