-- catalog_db belongs to another service; this is the shape we read. Used by the demo, the tests and compose.
CREATE TABLE IF NOT EXISTS medias (
    id           uuid PRIMARY KEY,
    title        varchar(255),
    description  text,
    release_year int,
    media_type   varchar(50),
    cover_url    varchar(500),
    deleted_at   timestamp       -- set: the title is never recommended
);

CREATE TABLE IF NOT EXISTS tb_media_genre (
    media_id   uuid,
    genre_name varchar(50)
);
CREATE INDEX IF NOT EXISTS tb_media_genre_media_id ON tb_media_genre (media_id);
