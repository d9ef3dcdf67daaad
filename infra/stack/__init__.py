"""Local servers on loopback, each a child process: Kafka, PostgreSQL, S3 and Ray."""
