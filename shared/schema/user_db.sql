-- user_db belongs to another service; this is the shape we read. Used by the demo, the tests and compose.
CREATE TABLE IF NOT EXISTS user_preferences (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL
);
CREATE INDEX IF NOT EXISTS user_preferences_user_id ON user_preferences (user_id);

CREATE TABLE IF NOT EXISTS tb_user_genre (
    user_id    uuid,         -- the user's id, or the id of the user's row in user_preferences: both are read
    genre_name varchar(50)
);
CREATE INDEX IF NOT EXISTS tb_user_genre_user_id ON tb_user_genre (user_id);
