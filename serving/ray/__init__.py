"""Ray Serve: the deployments, and the ports of expert and classifier over them."""
