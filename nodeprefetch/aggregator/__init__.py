"""The aggregator: takes the results of all nodes, keeps them, and serves them to people, programs and Prometheus."""
