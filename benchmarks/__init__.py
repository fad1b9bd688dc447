"""Every figure that the README quotes, and how to get it again."""
