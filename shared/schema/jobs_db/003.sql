-- With many open jobs, the few that have something to publish are found at once. (For a while, step 2 made it.)
CREATE INDEX IF NOT EXISTS job_chunks_waiting ON job_chunks (job_id) WHERE state = 'waiting';
