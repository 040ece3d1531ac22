"""What is installed (plugins) and what ships (the registry)."""
