"""The registry beside `mlflow server`: `make bench-registry`, or `python -m benchmarks.registry --help`."""
