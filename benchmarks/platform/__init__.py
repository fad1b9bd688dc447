"""A media platform made up to measure on: any number of users, titles and interactions."""
