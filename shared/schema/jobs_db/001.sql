-- The ledger: every job that was accepted, and its parts. The only tables the service owns.

CREATE TABLE jobs (
    job_id          uuid PRIMARY KEY,
    state           text NOT NULL DEFAULT 'accepted'
                    CHECK (state IN ('accepted', 'running', 'completed', 'completed_with_errors', 'failed', 'cancelled')),
    title_limit     int NOT NULL CHECK (title_limit > 0),     -- titles per user
    total           int NOT NULL CHECK (total > 0),           -- users
    fingerprint     bytea NOT NULL,                           -- SHA-256 of what was asked for
    idempotency_key text UNIQUE,
    problem         text,                                     -- why it failed, in a sentence
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,                              -- first chunk claimed
    finished_at     timestamptz,                              -- terminal state reached
    expires_at      timestamptz                               -- results are kept until then
);

CREATE TABLE job_chunks (
    job_id        uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    chunk_no      int NOT NULL,
    user_ids      uuid[] NOT NULL,
    users         int NOT NULL CHECK (users > 0),             -- how many they are
    state         text NOT NULL DEFAULT 'ready'
                  CHECK (state IN ('ready', 'running', 'done', 'dead')),
    attempt       int NOT NULL DEFAULT 0,                     -- rises with each claim; only the latest may close
    lease_until   timestamptz,                                -- running: another may claim it afterwards
    publish_after timestamptz NOT NULL DEFAULT now() + interval '5 seconds', -- the reconciler publishes it from then on
    publications  int NOT NULL DEFAULT 0,
    problem       text,                                       -- why the last attempt failed
    PRIMARY KEY (job_id, chunk_no)
);

-- What the reconciler looks for.
CREATE INDEX job_chunks_open ON job_chunks (publish_after) WHERE state IN ('ready', 'running');

-- Workers that are alive say so here.
CREATE TABLE workers (
    name    text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
