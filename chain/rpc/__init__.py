"""Several providers of one chain behind one door: limits, failover, typed errors."""
