"""A process that plans and claims beside others: ledger URL, shared folder, runs, processes."""

import sys
import time
from pathlib import Path

from ablations.claims import Fenced
from ablations.ledger import Ledger
from studies.records import Outcome


class SimultaneousLedger(Ledger):
    """Queues what was missing when all processes looked together: the worst they can do."""

    folder: Path
    processes: int
    met = False

    def statuses(self, run_keys, **options):
        found = super().statuses(run_keys, **options)
        if not self.met:
            self.met = True
            (self.folder / f"looked-{time.monotonic_ns()}").touch()
            while len(list(self.folder.glob("looked-*"))) < self.processes:
                time.sleep(0.001)
        return found


def main(url: str, folder: Path, runs: int, processes: int) -> None:
    keys = [f"run{index:02d}" for index in range(runs)]
    ledger = SimultaneousLedger(url, "queue")
    ledger.folder, ledger.processes = folder, processes
    while True:
        ledger.reconcile(keys)
        claim = ledger.claim(keys)
        if claim is None:
            if all(status.state.is_ended() for status in ledger.statuses(keys).values()):
                return
            continue
        with (folder / "executions").open("a") as executions:  # counted outside the ledger
            executions.write(f"{claim.run_key}\n")
        try:
            claim.complete(Outcome.COMPLETED, 0.0)
        except Fenced:
            print("fenced", claim.run_key, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
