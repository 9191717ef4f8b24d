"""Settings, registry, units, errors, clock and logs: what every other package stands on."""
