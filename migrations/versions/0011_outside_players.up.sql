-- Players of an outside authentication service, by what its tokens call them --------------------------------------------

CREATE TABLE outside_players (
    issuer      text NOT NULL,
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX outside_players_player ON outside_players (player_id);
