"""One file a step from one version of the tables to the next, run at opening. Not the tables of today."""
