"""What the demo is made of: each module is one part of the show."""
