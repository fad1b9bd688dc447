GRANT CONNECT ON DATABASE engagement_db TO ml_gateway, ml_worker, ml_trainer;
GRANT USAGE ON SCHEMA public TO ml_gateway, ml_worker, ml_trainer;
GRANT SELECT (id, user_id, media_id, type, interaction_value, "timestamp") ON interaction
    TO ml_gateway, ml_worker, ml_trainer;
ALTER ROLE ml_gateway IN DATABASE engagement_db SET default_transaction_read_only = on;
ALTER ROLE ml_worker IN DATABASE engagement_db SET default_transaction_read_only = on;
ALTER ROLE ml_trainer IN DATABASE engagement_db SET default_transaction_read_only = on;
