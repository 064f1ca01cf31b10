"""What crosses: pickling requests, and unpickling answers so that a server cannot run code here."""
