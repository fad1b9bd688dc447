-- Jobs that survive anything: deadlines, rejected jobs, fair publishing, owners of leases, announcements of the end.

ALTER TABLE jobs
    DROP CONSTRAINT jobs_state_check,
    DROP CONSTRAINT jobs_title_limit_check,
    DROP CONSTRAINT jobs_total_check,
    ALTER COLUMN problem TYPE jsonb USING  -- {"kind", "detail", "fields": [{"field", "message", "allowed"}]}
        CASE WHEN problem IS NOT NULL THEN jsonb_build_object('kind', 'job-failed', 'detail', problem) END,
    ADD COLUMN caller       text,          -- whose share of the queue it takes
    ADD COLUMN deadline     timestamptz NOT NULL DEFAULT now() + interval '1 day',
    ADD COLUMN reply_to     text,          -- queue that is told of the end
    ADD COLUMN callback_url text;          -- address that is told of the end

ALTER TABLE jobs
    ALTER COLUMN deadline DROP DEFAULT,
    ADD CONSTRAINT jobs_state_check CHECK (state IN (
        'accepted', 'running', 'completed', 'completed_with_errors', 'failed', 'cancelled', 'expired', 'rejected')),
    ADD CONSTRAINT jobs_size_check CHECK (  -- of a rejected job nothing but its id could be read
        state = 'rejected' AND total = 0 AND title_limit = 0 OR state <> 'rejected' AND total > 0 AND title_limit > 0);

CREATE INDEX jobs_open ON jobs (job_id) WHERE state IN ('accepted', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

DROP INDEX job_chunks_open;
ALTER TABLE job_chunks
    DROP CONSTRAINT job_chunks_state_check,
    ADD COLUMN failures   int NOT NULL DEFAULT 0,  -- attempts that went wrong; after three the chunk is dead
    ADD COLUMN claimed_by text,                    -- running: the worker
    ADD COLUMN due_at     timestamptz NOT NULL DEFAULT now();  -- see job_states.py

UPDATE job_chunks
   SET state = CASE WHEN state = 'running' THEN 'running' WHEN publications = 0 THEN 'waiting' ELSE 'queued' END,
       due_at = coalesce(lease_until, publish_after)
 WHERE state IN ('ready', 'running');

ALTER TABLE job_chunks
    DROP COLUMN lease_until,
    DROP COLUMN publish_after,
    ALTER COLUMN state SET DEFAULT 'waiting',
    ADD CONSTRAINT job_chunks_state_check CHECK (state IN ('waiting', 'queued', 'running', 'done', 'dead'));

-- What the reconciler and a job's publishing look for.
CREATE INDEX job_chunks_open ON job_chunks (job_id, state, due_at) WHERE state IN ('waiting', 'queued', 'running');

-- Who was heard of without a break for long enough may judge who is silent.
ALTER TABLE workers ADD COLUMN awake_since timestamptz NOT NULL DEFAULT now();

-- Ends that somebody wants to hear of, until he has.
CREATE TABLE announcements (
    job_id   uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    kind     text NOT NULL CHECK (kind IN ('reply_to', 'callback_url')),
    attempts int NOT NULL DEFAULT 0,
    due_at   timestamptz NOT NULL DEFAULT now(),
    problem  text,                                     -- why the last attempt failed
    given_up boolean NOT NULL DEFAULT false,           -- kept to be seen; goes with its job
    PRIMARY KEY (job_id, kind)
);
CREATE INDEX announcements_due ON announcements (due_at) WHERE NOT given_up;

-- Every way into a terminal state ends in an UPDATE or INSERT of `state`: here none can be forgotten.
CREATE FUNCTION announce_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (job_id, kind) SELECT NEW.job_id, 'reply_to' WHERE NEW.reply_to IS NOT NULL;
    INSERT INTO announcements (job_id, kind) SELECT NEW.job_id, 'callback_url' WHERE NEW.callback_url IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_end AFTER UPDATE OF state ON jobs FOR EACH ROW
    WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL) EXECUTE FUNCTION announce_end();
CREATE TRIGGER announce_rejection AFTER INSERT ON jobs FOR EACH ROW
    WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION announce_end();
