"""The Faust roles: inspect, classify, record and limits. Agents move data; pure modules decide."""
