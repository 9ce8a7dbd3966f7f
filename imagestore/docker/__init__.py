"""What belongs to the Docker daemon and not to an image store: its folders, and later its rules."""
