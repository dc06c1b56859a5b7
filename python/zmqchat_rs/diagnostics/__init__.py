"""Why no message arrives: checks of this host, and of a publisher on another one."""
