"""The models: experts find anomalies, classifiers name them, and Ray Serve runs both."""
