"""Speed, memory and quality, measured against a reference in the same run."""
