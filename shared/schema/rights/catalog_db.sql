GRANT CONNECT ON DATABASE catalog_db TO ml_gateway, ml_worker;
GRANT USAGE ON SCHEMA public TO ml_gateway, ml_worker;
GRANT SELECT (id, title, description, release_year, media_type, cover_url, deleted_at) ON medias
    TO ml_gateway, ml_worker;
GRANT SELECT (media_id, genre_name) ON tb_media_genre TO ml_gateway, ml_worker;
ALTER ROLE ml_gateway IN DATABASE catalog_db SET default_transaction_read_only = on;
ALTER ROLE ml_worker IN DATABASE catalog_db SET default_transaction_read_only = on;
