"""What the line does at this moment, read from Kafka: it needs no database."""
