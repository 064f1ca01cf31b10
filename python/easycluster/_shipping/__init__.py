"""Code of this program that runs on servers: definitions, and functions as source."""
