"""The queues in a simulated world, over days: see C{script/simulate}."""
