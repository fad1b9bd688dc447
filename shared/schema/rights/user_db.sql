GRANT CONNECT ON DATABASE user_db TO ml_gateway, ml_worker;
GRANT USAGE ON SCHEMA public TO ml_gateway, ml_worker;
GRANT SELECT (id, user_id) ON user_preferences TO ml_gateway, ml_worker;
GRANT SELECT (user_id, genre_name) ON tb_user_genre TO ml_gateway, ml_worker;
ALTER ROLE ml_gateway IN DATABASE user_db SET default_transaction_read_only = on;
ALTER ROLE ml_worker IN DATABASE user_db SET default_transaction_read_only = on;
