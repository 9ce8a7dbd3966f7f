"""What belongs to the Docker daemon and not to an image store: its folders, and what it allows."""
