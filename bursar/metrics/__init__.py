"""What operations sees: metric families, the observers that fill them, gauges from the books."""
