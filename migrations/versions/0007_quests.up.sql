-- The catalog: what there is to do, and what it gives ------------------------------------------------------------------

CREATE TABLE rewards (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- int32 on the wire
    name      text NOT NULL CONSTRAINT rewards_name_key UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    item      text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    quantity  integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000000)
);

CREATE TABLE quests (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL CONSTRAINT quests_name_key UNIQUE
                    CHECK (name ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(name) <= 100),
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    streak          integer NOT NULL CHECK (streak BETWEEN 1 AND 10000),
    duplication     integer NOT NULL CHECK (duplication BETWEEN 1 AND 1000000),
    auto_claim      boolean NOT NULL DEFAULT false,
    reward_id       integer REFERENCES rewards,
    daily           boolean NOT NULL DEFAULT false,  -- one step a day, in the player's own time zone, without a gap …
    grace_days      smallint NOT NULL DEFAULT 0 CHECK (grace_days BETWEEN 0 AND 30),  -- … longer than these
    -- What follows is of quests that scans advance: they name codes, or tags.
    codes           text[] NOT NULL DEFAULT '{}',
    tags            text[] NOT NULL DEFAULT '{}',
    in_order        boolean NOT NULL DEFAULT false,
    within_seconds  integer CHECK (within_seconds >= 1),  -- from the first scan of a round to its last
    org_id          uuid REFERENCES organizations ON DELETE CASCADE,  -- whose codes they are
    active          boolean NOT NULL DEFAULT false,  -- whether scans advance it
    by_scans        boolean GENERATED ALWAYS AS (cardinality(codes) + cardinality(tags) > 0) STORED,
    CONSTRAINT quests_codes_or_tags CHECK (codes = '{}' OR tags = '{}'),
    CONSTRAINT quests_switched_on_for_somebody CHECK (NOT active OR (by_scans AND org_id IS NOT NULL)),
    CONSTRAINT quests_scans_only CHECK (by_scans OR (NOT in_order AND within_seconds IS NULL AND org_id IS NULL)),
    CONSTRAINT quests_one_rhythm CHECK (NOT daily OR (NOT in_order AND within_seconds IS NULL)),
    CONSTRAINT quests_grace_of_days CHECK (daily OR grace_days = 0),
    CONSTRAINT quests_order_is_whole CHECK (NOT in_order OR streak = cardinality(codes) + cardinality(tags)),
    CONSTRAINT quests_enough_codes CHECK (codes = '{}' OR daily OR in_order OR streak <= cardinality(codes))
);
CREATE INDEX quests_active ON quests (org_id) WHERE active;

-- Progress: events are the truth and are kept; states are what folding them gives ---------------------------------------

ALTER TABLE players ADD COLUMN timezone text NOT NULL DEFAULT 'UTC'
    CONSTRAINT players_timezone_form CHECK (timezone ~ '^[A-Za-z0-9_+/-]{1,64}$');

CREATE TABLE quest_events (
    player_id  uuid NOT NULL,  -- as everything here written with its state, which refers to the player
    quest      text COLLATE "C" NOT NULL,  -- in the order in which Python sorts, so that replays can page
    version    integer NOT NULL CHECK (version >= 1),  -- 1, 2, 3 … of this player and quest
    id         uuid NOT NULL,  -- version 7: the order of all of a player's events
    type       text NOT NULL,
    data       jsonb NOT NULL,
    scan_id    uuid,
    at         timestamptz NOT NULL,
    CONSTRAINT quest_events_pkey PRIMARY KEY (player_id, quest, version)
);
CREATE INDEX quest_events_player ON quest_events (player_id, id);
CREATE UNIQUE INDEX quest_events_scan_once ON quest_events (scan_id, quest) WHERE scan_id IS NOT NULL;

CREATE TABLE quest_states (
    player_id    uuid NOT NULL REFERENCES players,
    quest        text COLLATE "C" NOT NULL,
    version      integer NOT NULL,  -- of the last event folded in: who writes says which one they saw
    progress     integer NOT NULL,
    completions  integer NOT NULL,
    claims       integer NOT NULL,
    steps        jsonb NOT NULL,
    last_day     date,
    CONSTRAINT quest_states_pkey PRIMARY KEY (player_id, quest)
) WITH (fillfactor = 85);

CREATE TABLE quest_claims (
    id             uuid PRIMARY KEY,  -- the ledger's source_id
    player_id      uuid NOT NULL,
    quest          text NOT NULL,
    completion     integer NOT NULL CHECK (completion >= 1),
    item           text NOT NULL,
    quantity       integer NOT NULL CHECK (quantity >= 1),
    at             timestamptz NOT NULL,
    taken_back_at  timestamptz
);
-- A completion is claimed once; again only if an annulled scan took it back.
CREATE UNIQUE INDEX quest_claims_once ON quest_claims (player_id, quest, completion) WHERE taken_back_at IS NULL;

-- How far a replay has come, so that it goes on after an interruption.
CREATE TABLE quest_replays (
    name         text PRIMARY KEY,
    player_id    uuid NOT NULL,
    quest        text NOT NULL,
    events       bigint NOT NULL,
    states       bigint NOT NULL,
    differences  bigint NOT NULL,
    digests      bytea[] NOT NULL,  -- of what was folded, and of what is stored
    updated_at   timestamptz NOT NULL DEFAULT now()
);
