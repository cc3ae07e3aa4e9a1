"""Quests: a catalog of what there is to do, progress made of events, rewards paid once for each completion."""
