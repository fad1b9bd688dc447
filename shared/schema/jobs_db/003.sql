-- With many open jobs, the few that have something to publish are found at once.
CREATE INDEX job_chunks_waiting ON job_chunks (job_id) WHERE state = 'waiting';
