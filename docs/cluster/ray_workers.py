"""Workers of a study on a Ray cluster, one for each GPU.

    python ray_workers.py quickstart --home /shared/ablate-out

Ray only places them. The study was queued before, by `ablate run`.
"""

from __future__ import annotations

import subprocess
import sys

import ray


@ray.remote(num_gpus=1, max_retries=-1)
def worker(arguments: list[str]) -> int:
    """Work until nothing is left; a worker whose node dies is placed again."""
    return subprocess.run(["ablate", "worker", *arguments], check=False).returncode


def main(arguments: list[str]) -> int:
    """Place a worker on each GPU of the cluster and wait for all of them."""
    ray.init(address="auto")
    gpus = int(ray.cluster_resources().get("GPU", 0))
    statuses = ray.get([worker.remote(arguments) for _ in range(gpus)])
    return max(statuses, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
