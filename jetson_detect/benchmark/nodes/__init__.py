"""The contestants, each a program that takes a task and is spun until it is told to stop."""
