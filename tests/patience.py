"""How long tests wait for what must happen. A wait ends as soon as it has, so that only a hang takes so long, even on a slow machine."""

#: Until a daemon has started or ended, or has done something for which it may have to start functions' processes.
DAEMON = 120.0
#: Until anything else has happened.
PATIENCE = 60.0
