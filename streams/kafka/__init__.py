"""The adapters of Kafka: connections, readers, publishers, and Faust."""
