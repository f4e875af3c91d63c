"""Ways to reach a machine, one per file. What is asked of a machine belongs to the stages."""
