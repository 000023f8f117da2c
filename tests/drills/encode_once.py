"""One run of the flow `encode` on a cluster that is up, as a process of a drill; says in a file how it ended."""

import json
import os
import sys


def main() -> None:
    fleet, store, preset, address, lines = sys.argv[1:]
    from flows.encode import encode
    from tasks.cluster_settings import ClusterSettings

    state = encode(fleet, store, preset, batch=8, cluster=ClusterSettings(address=address), return_state=True)
    said = {"state": state.name, "rows": state.result() if state.is_completed() else None, "message": state.message}
    number = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(number, f"{json.dumps(said)}\n".encode())


if __name__ == "__main__":
    main()
