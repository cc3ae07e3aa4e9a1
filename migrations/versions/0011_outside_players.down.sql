DROP TABLE outside_players;
