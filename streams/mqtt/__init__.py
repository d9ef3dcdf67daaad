"""The adapter of MQTT: decisions and alerts to those who read no Kafka."""
