"""The engine room: the store, the run's folder, the worker, the dispatcher, the inference lane.

The only place that starts processes. `store`, `folder`, `control`, `dispatcher` and `lane_client` import no torch,
so a dashboard or a script can watch and steer runs without it; `worker` and `lane` are started as processes.
"""
