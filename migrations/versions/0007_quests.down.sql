DROP TABLE quest_replays, quest_claims, quest_states, quest_events, quests, rewards;
ALTER TABLE players DROP COLUMN timezone;
