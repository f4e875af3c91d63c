"""Fresh machines to test on, and signed repositories to install from.

What is true of RabbitMQ or of the tool under test does not belong here, only what a test stands on.
"""
