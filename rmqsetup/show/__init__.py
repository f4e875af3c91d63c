"""Results → text for a terminal, or a JSON envelope. The only place that prints, and that knows rich."""
